"""What did not come into the table: rows that could not be stored, and referrals that were not asked for."""

from __future__ import annotations

import logging
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from partner_center.redaction import mask_email
from partner_center.ui import guards
from partner_center.ui.people import masked_text
from partner_center.ui.reading import reading
from partner_center.ui.rendering import page

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)

PAGE_ROWS = 25
SKIPPED_ROWS = 100
_Text = Annotated[str, Query(max_length=300)]


@router.get("/quarantine")
def show(
    request: Request,
    user: GetUserDep,
    account: guards.Readable,
    everything: bool = False,
    after: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
) -> Response:
    """Show a page of quarantined rows; the people in them to those who may edit, and then the look is logged."""
    with reading(account) as reader:
        rows = reader.rows("quarantine", {"all": everything, "after": after, "limit": PAGE_ROWS + 1})
    may_edit = guards.may_edit(request, user, account)
    if may_edit:
        log.info("%s looked at the quarantine of %s.", mask_email(user.get_name()), account.connection_id)
    else:
        rows = [{**row, "raw": masked_text(row["raw"])} for row in rows]
    return page(
        request,
        "quarantine.html",
        account=account,
        rows=rows[:PAGE_ROWS],
        following=rows[PAGE_ROWS - 1]["quarantine_id"] if len(rows) > PAGE_ROWS else None,
        is_first=after is None,
        everything=everything,
        may_edit=may_edit,
        may_replay=guards.may_trigger(request, user, account.replay_dag),
    )


@router.get("/skipped")
def show_skipped(
    request: Request, account: guards.Readable, reason: _Text = "", q: _Text = "", after: _Text = ""
) -> Response:
    """Show a page of what was skipped, and how many for which reason."""
    asked = {"reason": reason, "q": q.strip(), "after": after or None, "limit": SKIPPED_ROWS + 1}
    with reading(account) as reader:
        reasons = reader.rows("skipped_reasons")
        rows = reader.rows("skipped", asked)
    return page(
        request,
        "skipped.html",
        account=account,
        reasons=reasons,
        reason=reason,
        q=q.strip(),
        rows=rows[:SKIPPED_ROWS],
        following=rows[SKIPPED_ROWS - 1]["referral_id"] if len(rows) > SKIPPED_ROWS else None,
        is_first=not after,
    )
