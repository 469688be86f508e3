"""One referral: customer, people, deal, what happened to it, where its domain came from, and a person's own link."""

from __future__ import annotations

import logging
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Query, Request
from starlette.responses import RedirectResponse, Response

from partner_center import airflow_store, warehouse
from partner_center.domains import DomainExtractor, Hint
from partner_center.redaction import mask_email
from partner_center.ui import guards
from partner_center.ui.contacts import GONE, raw_for
from partner_center.ui.people import people
from partner_center.ui.reading import Row, reading, statement
from partner_center.ui.rendering import page, query_of
from partner_center.ui.storable import is_storable, to_readable_json

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)

LINK_VARIABLE = "partner_center_referral_link"
# The workspace is all that Microsoft documents; whoever knows the address of a single referral can set it.
WORKSPACE = "https://partner.microsoft.com/dashboard/referrals/v2/leads"
_UNSTORABLE = "A text holds a character that PostgreSQL does not store, so nothing was changed. Type it without."


@router.get("/referral")
def show(
    request: Request,
    user: GetUserDep,
    account: guards.Readable,
    referral_id: Annotated[str, Query(alias="id", max_length=300)],
) -> Response:
    """Show a referral; its people to those who may edit, and then the look is logged.

    Raises:
        HTTPException: 404 where there is none.
    """
    with reading(account) as reader:
        referral = reader.row("referral", {"referral_id": referral_id})
        if referral is None:
            raise HTTPException(404, GONE)
        timeline = reader.rows("referral_timeline", {"referral_id": referral_id})
        link = reader.row("referral_link", {"referral_id": referral_id})
    raw, may_edit = raw_for(request, user, account, referral)
    return page(
        request,
        "referral.html",
        account=account,
        referral=referral,
        raw_text=to_readable_json(raw),
        people=people(raw),
        timeline=timeline,
        link=link,
        may_edit=may_edit,
        outside=_outside(referral),
    )


@router.post("/links/set", dependencies=[guards.FROM_OWN_PAGE])
def set_link(
    request: Request,
    user: GetUserDep,
    account: guards.Editable,
    referral_id: Annotated[str, Form(max_length=300)],
    domain: Annotated[str, Form(max_length=300)] = "",
    note: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Set a person's own link of a referral to a domain, or to none where it is empty.

    Raises:
        HTTPException: 400 where it is no domain, 404 where there is no such referral.
    """
    values = {
        "referral_id": referral_id,
        "domain": _registrable(domain) if domain.strip() else None,
        "note": note.strip() or None,
        "set_by": user.get_name(),
    }
    return _changed(request, account, "set_link", values, user.get_name())


@router.post("/links/clear", dependencies=[guards.FROM_OWN_PAGE])
def clear_link(
    request: Request,
    user: GetUserDep,
    account: guards.Editable,
    referral_id: Annotated[str, Form(max_length=300)],
) -> Response:
    """Take a person's own link back.

    Raises:
        HTTPException: 404 where there is none.
    """
    return _changed(request, account, "clear_link", {"referral_id": referral_id}, user.get_name())


def _changed(request: Request, account: Any, name: str, values: Row, user: str) -> Response:
    if not all(value is None or is_storable(value) for value in values.values()):
        raise HTTPException(400, _UNSTORABLE)
    with warehouse.tables_of(account), warehouse.connect() as connection:
        if connection.execute(statement(name), values).rowcount != 1:
            raise HTTPException(404, GONE)
    log.info("%s: %s for the referral %s.", mask_email(user), name, values["referral_id"])
    root = request.scope.get("root_path", "")
    return RedirectResponse(f"{root}/referral{query_of(account, id=values['referral_id'])}", 303)


def _registrable(text: str) -> str:
    """Return the registrable domain of what a person typed: a domain, an address of the web, or of e-mail."""
    found = DomainExtractor().extract([Hint("email" if "@" in text else "website", text.strip())]).domain
    if found is None:
        raise HTTPException(
            400, "That is no domain of a company, so nothing was changed. Type one such as contoso.com."
        )
    return found


def _outside(referral: Row) -> str:
    """Return the address in Partner Center."""
    template = airflow_store.setting(LINK_VARIABLE, WORKSPACE)
    for name in ("referral_id", "engagement_id"):
        template = template.replace(f"{{{name}}}", quote(referral[name] or "", safe=""))
    return template if template.startswith("https://") else WORKSPACE
