"""Pages as responses: templates that escape what they are given, headers that let a browser do no more than needed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from partner_center.errors import ApiUnavailable, PartnerCenterError
from partner_center.reasons import REASONS
from partner_center.ui.addresses import airflow_root

log = logging.getLogger(__name__)

_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action {forms}"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY.format(forms="'none'"),
    # The address of the callback holds a code.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_SENTENCES = {
    HTTPStatus.UNAUTHORIZED: "You are not logged in to Airflow, so nothing was done. Log in, and begin again.",
    HTTPStatus.FORBIDDEN: "Your user of Airflow may not do this, so nothing was done. Ask whoever runs Airflow for the "
    "right to trigger the DAG partner_center_sign_in.",
    HTTPStatus.NOT_FOUND: "There is no such page. Check the address.",
}


def page(request: Request, template: str, status: int = 200, *, forms: str = "'none'", **values: Any) -> Response:
    """Render a template.

    Args:
        request: the one that is answered.
        template: a file's name.
        status: HTTP status.
        forms: where a form of the page may lead to, as CSP's form-action.
        values: for the template.
    """
    root = request.scope.get("root_path", "")
    text = _templates().get_template(template).render(root=root, airflow=airflow_root(request), **values)
    return HTMLResponse(text, status, {**HEADERS, "Content-Security-Policy": _POLICY.format(forms=forms)})


def refused(request: Request, err: PartnerCenterError) -> Response:
    """Show why a sign-in is not possible, or was refused: 503 where trying again may help, otherwise 400."""
    log.warning("%s is refused: %s", request.url.path, err)
    reason = REASONS.get(err.reason)
    message = getattr(err, "message", str(err))
    status = 503 if isinstance(err, ApiUnavailable) else 400
    if not _is_for_a_person(request):
        return JSONResponse({"detail": message, "reason": reason.code if reason else ""}, status)
    return page(request, "refused.html", status, message=message, reason=reason)


def not_served(request: Request, err: HTTPException) -> Response:
    """Show in a sentence that somebody is not logged in, may not do this, or asks for what there is not."""
    status = HTTPStatus(err.status_code)
    # Airflow's own guards give a few words, not a sentence.
    told = err.detail if err.detail.endswith(".") else _SENTENCES.get(status)
    sentence = told or f"The request was refused: {status.phrase}."
    if not _is_for_a_person(request):
        return JSONResponse({"detail": sentence}, err.status_code, err.headers)
    login = ""
    if err.status_code == 401:
        back = f"{request.scope.get('root_path', '')}/sign-in"
        login = f"{airflow_root(request)}/api/v2/auth/login?{urlencode({'next': back})}"
    return page(request, "not_served.html", err.status_code, sentence=sentence, login=login)


def broken(request: Request, err: Exception) -> Response:  # noqa: ARG001 - Starlette logs it
    """Say that something is wrong with us, and no more."""
    sentence = "Something went wrong, and the API server's log says what. Begin again, or sign in by device code."
    if not _is_for_a_person(request):
        return JSONResponse({"detail": sentence}, 500, dict(HEADERS))
    return page(request, "not_served.html", 500, sentence=sentence, login="")


def _is_for_a_person(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("partner_center.ui"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
