"""Sign-in by browser: authorization code with PKCE, for tenants whose policy blocks device codes.

The page begins a flow and sends the browser to Microsoft's; what comes back is checked against what was kept, and
redeemed here. Neither code nor token nor verifier reaches a page or a log (docs/adr/0010). What the routes raise,
`rendering.py` shows.
"""

from __future__ import annotations

import logging
import os
from urllib.parse import urlencode

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from partner_center import accounts, sign_in
from partner_center.accounts import CONNECTIONS_ENVIRONMENT
from partner_center.errors import ConfigurationError
from partner_center.hook import PartnerCenterHook
from partner_center.redaction import mask_email
from partner_center.retrying import once
from partner_center.settings import CONNECTION_ID
from partner_center.ui import flows, guards
from partner_center.ui.addresses import PREFIX, base_url, can_be_returned_to
from partner_center.ui.query_hiding import CALLBACK_PATH, answer_in
from partner_center.ui.rendering import page

PAGE_PATH, START_PATH = "/sign-in", "/sign-in/start"
# The form's answer leads to Microsoft's page, and from there, in a federated tenant, on to the partner's own. Browsers
# hold form-action against every step, and where that is nobody here knows.
_FORMS = "'self' https:"

log = logging.getLogger(__name__)
router = APIRouter()


@router.get(PAGE_PATH, dependencies=[guards.MAY_READ])
def show(request: Request, user: GetUserDep, connection: str = CONNECTION_ID) -> Response:
    """Show who is signed in, without asking Microsoft, and the ways to sign in.

    Raises:
        HTTPException: there is no such account.
        ApiUnavailable: who is signed in could not be read.
    """
    return _page(request, user, _hook(connection))


@router.post(START_PATH, dependencies=[guards.MAY_SIGN_IN, guards.FROM_OWN_PAGE])
def start(request: Request, user: GetUserDep, connection: str = CONNECTION_ID) -> Response:
    """Begin a sign-in and send the browser to Microsoft's page.

    Raises:
        HTTPException: there is no such account.
        ApiUnavailable, ConfigurationError: as `TokenSource.start_browser_flow`.
    """
    hook = _hook(connection)
    if _is_framed(request) or not can_be_returned_to(base_url(request)):
        return _page(request, user, hook, status=400)
    hook.tokens.signed_in()  # raises where nothing could be kept, before a person takes the trouble
    with once():  # a proxy in front waits for a minute, and the person presses again
        flow = hook.tokens.start_browser_flow(_callback_url(request), response_mode="query")
    flows.keep(flow, user.get_id(), connection)
    log.info("%s began a sign-in to Partner Center for the connection %s.", mask_email(user.get_name()), connection)
    return RedirectResponse(flow["auth_uri"], 303)


@router.get(CALLBACK_PATH, dependencies=[guards.MAY_SIGN_IN])
def finish(request: Request, user: GetUserDep) -> Response:
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
    query = _query(begun.connection_id)
    return page(request, "signed_in.html", lines=report.lines(), problem=report.problem, query=query)


def _page(request: Request, user: BaseUser, hook: PartnerCenterHook, status: int = 200) -> Response:
    connection_id, signed_in, problem = hook.partner_center_conn_id, None, ""
    try:
        signed_in = hook.tokens.signed_in()
    except ConfigurationError as err:
        problem = str(err)
    return page(
        request,
        "sign_in.html",
        status,
        forms=_FORMS,
        connection_id=connection_id,
        query=_query(connection_id),
        others={each: _query(each) for each in accounts.connections(os.environ) if each != connection_id},
        signed_in=signed_in,
        problem=problem,
        is_allowed=guards.is_allowed_to_sign_in(request, user),
        is_framed=_is_framed(request),
        can_return=can_be_returned_to(base_url(request)),
        base_url=base_url(request),
        page_url=f"{base_url(request)}{PREFIX}{PAGE_PATH}{_query(connection_id)}",
        callback_url=_callback_url(request),
    )


def _hook(connection_id: str) -> PartnerCenterHook:
    """Return the hook of an account.

    Raises:
        HTTPException: 404 where the connection is none: its password would go to a login as a client secret.
        ConfigurationError: as `accounts.listed`.
    """
    if connection_id not in accounts.connections(os.environ):
        told = f"There is no such partner account. Others than the first are listed in {CONNECTIONS_ENVIRONMENT}, which"
        raise HTTPException(404, f"{told} the API server has to know, too.")
    return PartnerCenterHook(connection_id)


def _is_framed(request: Request) -> bool:
    """Say whether the page is shown within another one, where Microsoft's does not open."""
    return request.headers.get("sec-fetch-dest") in {"iframe", "frame", "embed", "object"}


def _callback_url(request: Request) -> str:
    return f"{base_url(request)}{PREFIX}{CALLBACK_PATH}"


def _query(connection_id: str) -> str:
    return "" if connection_id == CONNECTION_ID else f"?{urlencode({'connection': connection_id})}"
