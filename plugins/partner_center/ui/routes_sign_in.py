"""Sign-in by browser: authorization code with PKCE, for tenants whose policy blocks device codes.

The page begins a flow and sends the browser to Microsoft's; what comes back is checked against what was kept, and
redeemed here. Neither code nor token nor verifier reaches a page or a log (docs/adr/0010). What the routes raise,
`rendering.py` shows.
"""

from __future__ import annotations

import logging

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from partner_center import sign_in
from partner_center.accounts import Account
from partner_center.errors import ConfigurationError
from partner_center.hook import PartnerCenterHook
from partner_center.redaction import mask_email
from partner_center.retrying import once
from partner_center.ui import flows, guards
from partner_center.ui.addresses import PREFIX, base_url, can_be_returned_to
from partner_center.ui.query_hiding import CALLBACK_PATH, answer_in
from partner_center.ui.rendering import is_framed, page, query_of

PAGE_PATH, START_PATH = "/sign-in", "/sign-in/start"
# The form's answer leads to Microsoft's page, and from there, in a federated tenant, on to the partner's own. Browsers
# hold form-action against every step, and where that is nobody here knows.
_FORMS = "'self' https:"

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)


@router.get(PAGE_PATH)
def show(request: Request, user: GetUserDep, account: guards.SignInReadable) -> Response:
    """Show who is signed in, without asking Microsoft, and the ways to sign in.

    Raises:
        HTTPException: there is no such account.
        ApiUnavailable: who is signed in could not be read.
    """
    return _page(request, user, account)


@router.post(START_PATH, dependencies=[guards.FROM_OWN_PAGE])
def start(request: Request, user: GetUserDep, account: guards.SignInAllowed) -> Response:
    """Begin a sign-in and send the browser to Microsoft's page.

    Raises:
        HTTPException: there is no such account.
        ApiUnavailable, ConfigurationError: as `TokenSource.start_browser_flow`.
    """
    if is_framed(request) or not can_be_returned_to(base_url(request)):
        return _page(request, user, account, status=400)
    hook = PartnerCenterHook(account.connection_id)
    hook.tokens.signed_in()  # raises where nothing could be kept, before a person takes the trouble
    with once():  # a proxy in front waits for a minute, and the person presses again
        flow = hook.tokens.start_browser_flow(_callback_url(request), response_mode="query")
    flows.keep(flow, user.get_id(), account.connection_id)
    log.info(
        "%s began a sign-in to Partner Center for the connection %s.",
        mask_email(user.get_name()),
        account.connection_id,
    )
    return RedirectResponse(flow["auth_uri"], 303)


@router.get(CALLBACK_PATH)
def finish(request: Request, user: GetUserDep, _: guards.SignInAllowed) -> Response:
    """Take what Microsoft's page sends back, once, and say who is signed in.

    It comes from another site, as it must: the state, which that site got from here, binds it.

    Raises:
        SignInRequired, ApiUnavailable, ConfigurationError: as `flows.take`, `TokenSource.finish_browser_flow` and
            `sign_in.report`.
    """
    answer = answer_in(request)
    begun = flows.take(answer.get("state", ""), user.get_id())
    hook = PartnerCenterHook(begun.connection_id)
    hook.tokens.finish_browser_flow(begun.flow, answer)
    report = sign_in.report(begun.connection_id)
    log.info("%s signed in to Partner Center for the connection %s.", mask_email(user.get_name()), begun.connection_id)
    account = Account(begun.connection_id)
    return page(request, "signed_in.html", account=account, lines=report.lines(), problem=report.problem)


def _page(request: Request, user: BaseUser, account: Account, status: int = 200) -> Response:
    signed_in, comes_by_itself, problem = None, False, ""
    try:
        tokens = PartnerCenterHook(account.connection_id).tokens
        signed_in, comes_by_itself = tokens.signed_in(), tokens.signs_in_by_itself()
    except ConfigurationError as err:
        problem = str(err)
    return page(
        request,
        "sign_in.html",
        status,
        account=account,
        forms=_FORMS,
        signed_in=signed_in,
        comes_by_itself=comes_by_itself,
        problem=problem,
        is_allowed=guards.is_allowed_to_sign_in(request, user),
        can_return=can_be_returned_to(base_url(request)),
        base_url=base_url(request),
        page_url=f"{base_url(request)}{PREFIX}{PAGE_PATH}{query_of(account)}",
        callback_url=_callback_url(request),
    )


def _callback_url(request: Request) -> str:
    return f"{base_url(request)}{PREFIX}{CALLBACK_PATH}"
