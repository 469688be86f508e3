"""Pages as responses: templates that escape what they are given, headers that let a browser do no more than needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from partner_center import accounts
from partner_center.accounts import Account
from partner_center.errors import ApiUnavailable, PartnerCenterError
from partner_center.reasons import REASONS
from partner_center.ui import formats
from partner_center.ui.addresses import airflow_root
from partner_center.ui.query_hiding import CALLBACK_PATH

log = logging.getLogger(__name__)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action {forms}"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY.format(forms="'none'"),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
OWN_FORMS = "'self'"

_SENTENCES = {
    HTTPStatus.UNAUTHORIZED: "You are not logged in to Airflow, so nothing was done. Log in, and begin again.",
    HTTPStatus.FORBIDDEN: "Your user of Airflow may not do this, so nothing was done. Ask whoever runs Airflow for the "
    "right to use the DAGs of the Partner Center.",
    HTTPStatus.NOT_FOUND: "There is no such page. Check the address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take such a request. Use the buttons of the page.",
}


def page(
    request: Request,
    template: str,
    status: int = 200,
    *,
    account: Account | None,
    forms: str = OWN_FORMS,
    **values: Any,
) -> Response:
    """Render a template.

    Args:
        request: the one that is answered.
        template: a file's name.
        status: HTTP status.
        account: whose page it is; None where none is known.
        forms: where a form of the page may lead to, as CSP's form-action.
        values: for the template.
    """
    text = _templates().get_template(template).render(_everywhere(request, account), **values)
    headers = {"Content-Security-Policy": _POLICY.format(forms=forms), "Referrer-Policy": _referrer_policy(request)}
    return HTMLResponse(text, status, {**HEADERS, **headers})


def query_of(account: Account | None, **more: Any) -> str:
    """Return the query that leads to an account's page: nothing for the default one; what is None or empty is left out.

    Args:
        account: whose page.
        more: further parameters; a list gives one for each of its values.
    """
    named = {} if account is None or account.is_default else {"connection": account.connection_id}
    given = {name: value for name, value in {**named, **more}.items() if value not in (None, "", [], ())}
    return f"?{urlencode(given, doseq=True)}" if given else ""


def refused(request: Request, err: PartnerCenterError) -> Response:
    """Show why something is not possible, or was refused: 503 where trying again may help, otherwise 400."""
    log.warning("%s is refused: %s", request.url.path, err)
    reason = REASONS.get(err.reason)
    message = getattr(err, "message", str(err))
    status = 503 if isinstance(err, ApiUnavailable) else 400
    if not is_for_a_person(request):
        return JSONResponse({"detail": message, "reason": reason.code if reason else ""}, status)
    return page(request, "refused.html", status, account=_account_of(request), message=message, reason=reason)


def not_served(request: Request, err: HTTPException) -> Response:
    """Show in a sentence that somebody is not logged in, may not do this, or asks for what there is not."""
    status = HTTPStatus(err.status_code)
    # Airflow's own guards give a few words, not a sentence.
    told = err.detail if err.detail.endswith(".") else _SENTENCES.get(status)
    sentence = told or f"The request was refused: {status.phrase}."
    if not is_for_a_person(request):
        return JSONResponse({"detail": sentence}, err.status_code, err.headers)
    login = ""
    if err.status_code == 401:
        login = f"{airflow_root(request)}/api/v2/auth/login?{urlencode({'next': _way_back(request)})}"
    return page(
        request, "not_served.html", err.status_code, account=_account_of(request), sentence=sentence, login=login
    )


def broken(request: Request, err: Exception) -> Response:  # noqa: ARG001 - Starlette logs it
    """Say that something is wrong with us, and no more."""
    sentence = "Something went wrong, and the API server's log says what. Try again; if it stays so, report it."
    if not is_for_a_person(request):
        return JSONResponse({"detail": sentence}, 500, dict(HEADERS))
    return page(request, "not_served.html", 500, account=_account_of(request), sentence=sentence, login="")


def is_for_a_person(request: Request) -> bool:
    """Say whether a browser asks, and not a program."""
    return "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers


def is_framed(request: Request) -> bool:
    """Say whether the page is shown within another one, where those of other sites do not open."""
    return request.headers.get("sec-fetch-dest") in {"iframe", "frame", "embed", "object"}


def _account_of(request: Request) -> Account | None:
    """Return the account whose page was asked for, None where nobody was let in."""
    found: Account | None = getattr(request.state, "account", None)
    return found


def _referrer_policy(request: Request) -> str:
    """Return where the page's address may be told: to us, or to nobody, as that of the callback, which holds a code.

    With no-referrer a form of the page would have the Origin "null", and over plain http there is no other sign that it
    is our own (`guards.from_own_page`).
    """
    return "no-referrer" if request.url.path.endswith(CALLBACK_PATH) else "same-origin"


def _way_back(request: Request) -> str:
    """Return the page to come back to after the log-in: the one that was asked for, if that changes nothing."""
    root = str(request.scope.get("root_path", ""))
    path = request.url.path
    if path.endswith(CALLBACK_PATH):
        return f"{root}/sign-in"
    if request.method != "GET" or "/api/" in path or "hx-request" in request.headers:
        return f"{root}/"
    return f"{path}?{request.url.query}" if request.url.query else path


def _everywhere(request: Request, account: Account | None) -> dict[str, Any]:
    """Return what the layout needs on each page."""
    root = request.scope.get("root_path", "")
    return {
        "root": root,
        "path": request.url.path.removeprefix(str(root)),
        "airflow": airflow_root(request),
        "account": account,
        "accounts": accounts.listed(os.environ) if account is not None else [],
        "account_query": query_of(account),
        "is_framed": is_framed(request),
        "is_fragment": "hx-request" in request.headers,
        "query_of": query_of,
    }


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("partner_center.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(formats.FILTERS)
    return environment
