"""The FastAPI app that Airflow's API server mounts under /partner-center.

A new page: a module `routes_….py` with a router whose routes carry a guard of `guards.py`, included below. Airflow
itself guards nothing of a plugin; tests/integration/test_ui_guards.py asks every route for it.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from partner_center.errors import PartnerCenterError
from partner_center.ui import (
    rendering,
    routes_domains,
    routes_health,
    routes_inbox,
    routes_inbox_api,
    routes_openapi,
    routes_overview,
    routes_quarantine,
    routes_referral,
    routes_runs,
    routes_sign_in,
    routes_sign_in_codes,
    routes_sync,
)
from partner_center.ui.query_hiding import WithoutAnswersInLogs

NAME = "Partner Center"

# In order: an address of `routes_runs` takes whatever stands behind /runs/, so what is special comes before.
_PAGES = (
    routes_overview,
    routes_inbox,
    routes_referral,
    routes_inbox_api,
    routes_domains,
    routes_sync,
    routes_runs,
    routes_quarantine,
    routes_sign_in,
    routes_sign_in_codes,
    routes_health,
    routes_openapi,
)


def create_app() -> FastAPI:
    """Put the application together."""
    # Without its documentation: those routes would be open to everybody.
    app = FastAPI(title=NAME, docs_url=None, redoc_url=None, openapi_url=None)
    for module in _PAGES:
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.exception_handler(PartnerCenterError)(rendering.refused)
    app.exception_handler(HTTPException)(rendering.not_served)
    app.exception_handler(Exception)(rendering.broken)
    app.middleware("http")(_with_safe_headers)
    app.add_middleware(WithoutAnswersInLogs)
    return app


async def _with_safe_headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    for name, value in rendering.HEADERS.items():
        response.headers.setdefault(name, value)
    return response
