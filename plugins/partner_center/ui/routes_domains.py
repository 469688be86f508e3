"""The customers by domain, and all referrals of one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from partner_center.ui import guards
from partner_center.ui.reading import reading
from partner_center.ui.rendering import page

router = APIRouter(include_in_schema=False)

PAGE_ROWS = 50


@router.get("/domains")
def show(
    request: Request,
    account: guards.Readable,
    q: Annotated[str, Query(max_length=300)] = "",
    after_seen: datetime | None = None,
    after_domain: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """Show a page of domains."""
    asked = {"q": q.strip(), "after_seen": after_seen, "after_domain": after_domain, "limit": PAGE_ROWS + 1}
    with reading(account) as reader:
        rows = reader.rows("domains", asked)
    return page(
        request,
        "domains.html",
        account=account,
        q=q.strip(),
        rows=rows[:PAGE_ROWS],
        following=rows[PAGE_ROWS - 1] if len(rows) > PAGE_ROWS else None,
        is_first=after_seen is None,
    )


@router.get("/domains/{domain}")
def show_one(request: Request, account: guards.Readable, domain: str) -> Response:
    """Show the referrals of a domain.

    Raises:
        HTTPException: 404 where it has none.
    """
    with reading(account) as reader:
        rows = reader.rows("domain", {"domain": domain})
    if not rows:
        raise HTTPException(404, "No referral has this domain.")
    return page(request, "domain.html", account=account, domain=domain, rows=rows, total=rows[0]["total"])
