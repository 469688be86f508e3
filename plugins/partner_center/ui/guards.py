"""Who may do what: dependencies for the routes.

Airflow's cookie is SameSite=Lax, so other sites can make a browser send it with a GET, but never with a POST of a form
or script; `from_own_page` does not leave it at that.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, HTTPException, Request

from partner_center.ui.addresses import base_url, own_url

SIGN_IN_DAG = "partner_center_sign_in"

_trigger_sign_in = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=SIGN_IN_DAG)


def from_own_page(request: Request) -> None:
    """Refuse what another site made the browser send.

    Browsers say so in Sec-Fetch-Site, behind any proxy; older ones, and all of them where Airflow is reached by http,
    in Origin. A bearer token is no cookie: nobody sends it unknowingly.

    Raises:
        HTTPException: 403.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        is_own = site == "same-origin"
    else:
        is_own = request.headers.get("origin", "") in {_origin(base_url(request)), _origin(own_url(request))}
    if not is_own:
        raise HTTPException(403, "The request came from another site, so nothing was done. Use the page of Airflow.")


def is_allowed_to_sign_in(request: Request, user: BaseUser) -> bool:
    """Say whether `MAY_SIGN_IN` lets the user pass."""
    try:
        _trigger_sign_in(request, user)
    except HTTPException:
        return False
    return True


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


MAY_READ = Depends(requires_access_dag("GET", param_dag_id=SIGN_IN_DAG))
"""Whoever may read the DAG `partner_center_sign_in`."""

MAY_SIGN_IN = Depends(_trigger_sign_in)
"""Whoever may trigger it."""

FROM_OWN_PAGE = Depends(from_own_page)
"""For every route that changes something."""
