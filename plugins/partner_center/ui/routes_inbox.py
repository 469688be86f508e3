"""All referrals as a list: filters, sorting and paging stand in the address, so that a view can be sent to somebody."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import Response

from partner_center.ui import guards, inbox
from partner_center.ui.inbox import MOST_COUNTED, SORTS, Filters
from partner_center.ui.reading import reading
from partner_center.ui.rendering import page

router = APIRouter(include_in_schema=False)

PAGE_ROWS = 50
_Text = Annotated[str, Query(max_length=300)]


def _filters(
    status: _Text = "",
    referral_type: _Text = "",
    link_status: _Text = "",
    country: _Text = "",
    domain: Literal["yes", "no", ""] = "",
    expiring: _Text = "",
    q: _Text = "",
) -> Filters:
    return Filters(
        status=status.strip(),
        referral_type=referral_type,
        link_status=link_status,
        country=country.strip(),
        domain=domain,
        expiring=expiring in {"1", "true", "on", "yes"},
        q=q.strip(),
    )


@router.get("/inbox")
def show(
    request: Request,
    account: guards.Readable,
    filters: Annotated[Filters, Depends(_filters)],
    sort: _Text = "updated",
    order: _Text = "",
    after: Annotated[str, Query(max_length=2000)] = "",
) -> Response:
    """Show a page of referrals.

    Raises:
        HTTPException: 400 where an address was cut or made up.
    """
    if sort not in SORTS or order not in {"", "asc", "desc"}:
        raise HTTPException(400, f"The list cannot be sorted so. Sort by one of {', '.join(SORTS)}, asc or desc.")
    descending = SORTS[sort].descending if not order else order == "desc"
    with reading(account) as reader:
        try:
            listing = inbox.page(reader, filters, sort, descending, PAGE_ROWS, after or None, 0)
        except ValueError as err:
            raise HTTPException(400, "The address of this page was cut off. Begin at the first page.") from err
        count = inbox.total(reader, filters, listing, after)
    chosen = {name: value for name, value in asdict(filters).items() if value}
    if filters.expiring:
        chosen["expiring"] = "1"
    return page(
        request,
        "inbox.html",
        account=account,
        filters=filters,
        listing=listing,
        count=count,
        most_counted=MOST_COUNTED,
        is_first=not after,
        sorts=list(SORTS),
        sort=sort,
        order=order,
        descending=descending,
        columns=_columns(sort, descending),
        chosen=chosen,
        address={**chosen, "sort": sort, "order": order},
    )


def _columns(sort: str, descending: bool) -> list[dict[str, Any]]:
    """Return the head of the table: for each column its name, and how a click on it sorts."""
    named = [
        ("Customer", "customer"), ("Deal", ""), ("Type", ""), ("Status", ""), ("Domain", ""), ("Value", "value"),
        ("Created", "created"), ("Updated", "updated"), ("Expires", "expires"),
    ]  # fmt: skip
    return [
        {
            "name": name,
            "sort": key,
            "is_sorted": bool(key) and key == sort,
            "order": ("asc" if descending else "desc") if key == sort else "",
            "aria": ("descending" if descending else "ascending") if key and key == sort else "",
        }
        for name, key in named
    ]
