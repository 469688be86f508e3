"""The description of the REST routes, for whoever is logged in."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from partner_center.ui import guards

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
def describe(request: Request, _: guards.Readable) -> dict[str, Any]:
    """Describe the REST routes as OpenAPI does, at the address at which they were reached."""
    described: dict[str, Any] = request.app.openapi()
    return described | {"servers": [{"url": str(request.scope.get("root_path", "")) or "/"}]}
