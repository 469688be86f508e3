"""Sign-in by device code from the page, also within Airflow's frame, and sign-out."""

from __future__ import annotations

import logging
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from partner_center.accounts import Account
from partner_center.hook import PartnerCenterHook
from partner_center.redaction import mask_email
from partner_center.ui import guards, sign_in_codes
from partner_center.ui.rendering import page, query_of

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)

Key = Annotated[str, Path(max_length=16)]


@router.post("/sign-in/device", dependencies=[guards.FROM_OWN_PAGE])
def begin(request: Request, user: GetUserDep, account: guards.SignInAllowed) -> Response:
    """Begin a sign-in and lead to the page with its code.

    Raises:
        HTTPException: 429, the user has begun several already.
        ApiUnavailable, ConfigurationError: as `TokenSource.start_device_flow`.
    """
    try:
        key = sign_in_codes.begin(account, user.get_id())
    except sign_in_codes.TooManyOpen as err:
        raise HTTPException(429, str(err)) from err
    log.info(
        "%s began a sign-in by code to Partner Center for the connection %s.",
        mask_email(user.get_name()),
        account.connection_id,
    )
    return _led_to(request, account, f"/sign-in/device/{key}")


@router.get("/sign-in/device/{key}")
def show(request: Request, user: GetUserDep, account: guards.SignInAllowed, key: Key) -> Response:
    """Show the code; the login is not asked.

    Raises:
        SignInRequired, ApiUnavailable: as `sign_in_codes.show`.
    """
    code = sign_in_codes.show(key, account, user.get_id())
    return page(request, "device_code.html", account=account, code=code, was_asked=False)


@router.post("/sign-in/device/{key}", dependencies=[guards.FROM_OWN_PAGE])
def poll(
    request: Request,
    user: GetUserDep,
    account: guards.SignInAllowed,
    key: Key,
    every: Annotated[int, Query(description="The interval that the page knows.")] = 0,
) -> Response:
    """Ask whether the person has signed in, and say so; 204 to a page that has nothing to change.

    Raises:
        SignInRequired, ApiUnavailable, ConfigurationError: as `sign_in_codes.poll`.
    """
    report = sign_in_codes.poll(key, account, user.get_id())
    if report is None:
        code = sign_in_codes.show(key, account, user.get_id())
        if "hx-request" in request.headers and every == code.interval:
            return Response(status_code=204)
        return page(request, "device_code.html", account=account, code=code, was_asked=True)
    log.info(
        "%s signed in to Partner Center by code for the connection %s.",
        mask_email(user.get_name()),
        account.connection_id,
    )
    return page(request, "signed_in.html", account=account, lines=report.lines(), problem=report.problem)


@router.post("/sign-out", dependencies=[guards.FROM_OWN_PAGE])
def sign_out(request: Request, user: GetUserDep, account: guards.SignInAllowed) -> Response:
    """Forget who is signed in.

    Raises:
        ApiUnavailable, ConfigurationError: as `TokenSource.sign_out`.
    """
    PartnerCenterHook(account.connection_id).tokens.sign_out()
    log.info(
        "%s signed out of Partner Center for the connection %s.", mask_email(user.get_name()), account.connection_id
    )
    return _led_to(request, account, "/sign-in")


def _led_to(request: Request, account: Account, path: str) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}{path}{query_of(account)}", 303)
