"""The referrals for programs: a page of them as JSON, all of them as CSV, and one with everything that is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from partner_center.ui import csv_export, guards, inbox
from partner_center.ui.answers_inbox import LIST_EXAMPLE, REFUSALS, Referral, ReferralList
from partner_center.ui.contacts import GONE, raw_for
from partner_center.ui.inbox import MOST_COUNTED, Filters
from partner_center.ui.reading import reading
from partner_center.ui.storable import to_json

router = APIRouter(prefix="/api/v1/referrals", tags=["referrals"])

Sort = Annotated[
    Literal["updated", "created", "expires", "value", "customer"],
    Query(description="What has no value comes last, either way."),
]
Order = Annotated[Literal["asc", "desc"] | None, Query(description="Left out: newest, soonest, largest, or A first.")]
_Search = Annotated[
    str,
    Query(
        max_length=300,
        description="Words that all occur in customer, deal or domain, without regard to case and accents; the first "
        "five count.",
        openapi_examples={"none": {"value": ""}, "words": {"value": "nordwind migration"}},
    ),
]
_Status = Annotated[
    str,
    Query(
        max_length=300,
        description="New, Active, Closed or another, in any case; open is new or active, and still in the API.",
        openapi_examples={"none": {"value": ""}, "open": {"value": "open"}, "closed": {"value": "Closed"}},
    ),
]


def _filters(
    status: _Status = "",
    referral_type: Literal["marketplace", "qualified-lead", "co-sell", "unclassified"] | None = None,
    link_status: Literal["linked", "unlinked", "multi_candidate"] | None = None,
    q: _Search = "",
    country: Annotated[str, Query(max_length=300, description="As the API writes it, such as FI, in any case.")] = "",
    domain: Annotated[Literal["yes", "no"] | None, Query(description="Whether there is one.")] = None,
    expiring: Annotated[bool, Query(description="Open, and the time ends within seven days.")] = False,
) -> Filters:
    return Filters(
        status=status.strip(),
        referral_type=referral_type or "",
        link_status=link_status or "",
        country=country.strip(),
        domain=domain or "",
        expiring=expiring,
        q=q.strip(),
    )


Asked = Annotated[Filters, Depends(_filters)]


@router.get(
    "",
    summary="A page of referrals",
    response_model=ReferralList,
    responses={**REFUSALS, 200: {"content": {"application/json": {"example": LIST_EXAMPLE}}}},
)
def show_page(
    account: guards.Readable,
    filters: Asked,
    sort: Sort = "updated",
    order: Order = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, lt=2**31, description="How many to pass over; `after` goes before it.")] = 0,
    after: Annotated[str, Query(max_length=4000, description="`next` of the page before.")] = "",
) -> Response:
    """Give a page. By `after`, every referral comes once, whatever has come in between; by `offset`, some may shift.

    Raises:
        HTTPException: 422, the cursor is none of this order.
    """
    with reading(account) as reader:
        try:
            listing = inbox.page(reader, filters, sort, _descending(order), limit, after or None, offset)
        except ValueError as err:
            raise HTTPException(422, str(err)) from err
        total = inbox.total(reader, filters, listing, after)
    answer = {
        "referrals": listing.rows,
        "total": total if total <= MOST_COUNTED else None,
        "more_than": MOST_COUNTED if total > MOST_COUNTED else None,
        "limit": limit,
        "offset": listing.offset,
        "next": listing.next_cursor,
    }
    return _json(answer)


# Before the one referral, whose id may be any text.
@router.get(
    "/export.csv",
    summary="All referrals of a filter as CSV",
    response_class=StreamingResponse,
    responses={
        **REFUSALS,
        200: {"content": {"text/csv": {}}, "description": "UTF-8 with a byte order mark, a row of headings first."},
    },
)
def export(account: guards.Readable, filters: Asked, sort: Sort = "updated", order: Order = None) -> Response:
    """Give all of them, whatever their number.

    A text that a spreadsheet would run as a formula has an apostrophe before it. A transfer that breaks off in the
    middle was cut: the warehouse went away, or took more than ten minutes.

    Raises:
        ConfigurationError, WarehouseUnavailable, WarehouseError: as `reading`, before the first byte.
    """
    pieces = csv_export.chunks(account, filters, sort, _descending(order))
    owner = "" if account.is_default else f"-{account.connection_id}"
    name = f"partner-center-referrals{owner}-{datetime.now(UTC):%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=headers)


@router.get(
    "/{referral_id:path}",
    summary="One referral with all that is stored",
    response_model=Referral,
    responses=REFUSALS,
)
def show_one(
    request: Request,
    user: GetUserDep,
    account: guards.Readable,
    referral_id: Annotated[str, Path(description="Percent-encoded; it may hold any character.")],
) -> Response:
    """Give a referral. Its people are masked for users who may not edit the DAG; for others, the look is logged.

    Raises:
        HTTPException: 404 where there is none.
    """
    with reading(account) as reader:
        referral = reader.row("referral", {"referral_id": referral_id})
    if referral is None:
        raise HTTPException(404, GONE)
    raw, _ = raw_for(request, user, account, referral)
    return _json({**referral, "raw_data": raw})


def _descending(order: str | None) -> bool | None:
    return None if order is None else order == "desc"


def _json(answer: Any) -> Response:
    return Response(to_json(answer), media_type="application/json")
