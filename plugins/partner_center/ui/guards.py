"""Who may do what: dependencies for the routes. Airflow itself guards nothing of a plugin.

What a user may do with an account's DAG, he may do with its referrals. Airflow's cookie is SameSite=Lax, so other sites
can make a browser send it with a GET, but never with a POST of a form or script; `from_own_page` does not leave it at
that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, HTTPException, Query, Request

from partner_center import accounts
from partner_center.accounts import CONNECTIONS_ENVIRONMENT, Account
from partner_center.settings import CONNECTION_ID
from partner_center.ui.addresses import base_url, own_url

SIGN_IN_DAG = "partner_center_sign_in"

Method = Literal["GET", "POST", "PUT", "DELETE"]
Connection = Annotated[str, Query(description="The partner account: the id of its connection.", max_length=300)]


def is_allowed(
    request: Request, user: BaseUser, dag_id: str, method: Method = "GET", entity: DagAccessEntity | None = None
) -> bool:
    """Say whether Airflow lets a user do something with a DAG."""
    try:
        requires_access_dag(method, entity, param_dag_id=dag_id)(request, user)
    except HTTPException as err:
        if err.status_code != 403:
            raise
        return False
    return True


def may_trigger(request: Request, user: BaseUser, dag_id: str) -> bool:
    """Say whether a user may start runs of a DAG."""
    return is_allowed(request, user, dag_id, "POST", DagAccessEntity.RUN)


def may_edit(request: Request, user: BaseUser, account: Account) -> bool:
    """Say whether a user may change an account's referrals, and see the people behind them."""
    return is_allowed(request, user, account.sync_dag, "PUT")


def listed() -> list[Account]:
    """Return the accounts that there are; raises as `accounts.listed`."""
    return accounts.listed(os.environ)


def listed_account(connection: str) -> Account:
    """Return a listed account.

    Raises:
        HTTPException: 404 where the connection is none: its password would go to a login as a client secret.
        ConfigurationError: as `accounts.listed`.
    """
    for account in listed():
        if account.connection_id == connection:
            return account
    told = f"There is no such partner account. Others than the first are listed in {CONNECTIONS_ENVIRONMENT}, which"
    raise HTTPException(404, f"{told} the API server has to know, too.")


def _guard(check: Callable[[Request, BaseUser, Account], bool], right: str) -> Callable[..., Account]:
    """Return a dependency that gives the account of a request, or refuses it."""

    def account_of(request: Request, user: GetUserDep, connection: Connection = CONNECTION_ID) -> Account:
        account = listed_account(connection)
        if not check(request, user, account):
            raise HTTPException(
                403,
                "Your user of Airflow may not do this, so nothing was done. Ask whoever runs Airflow for the right to "
                f"{right.format(sync=account.sync_dag, replay=account.replay_dag, sign_in=SIGN_IN_DAG)}.",
            )
        # For the pages that tell of an error: they have the way to the others, too.
        request.state.account = account
        return account

    return account_of


def from_own_page(request: Request) -> None:
    """Refuse what another site made the browser send.

    Browsers say so in Sec-Fetch-Site, behind any proxy; older ones, and all of them where Airflow is reached by http,
    in Origin, which they send with every POST: what has neither is no browser, whose user nobody could deceive. Nor is
    what has a bearer token, which is no cookie.

    Raises:
        HTTPException: 403.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        is_own = site == "same-origin"
    else:
        is_own = origin is None or origin in {_origin(base_url(request)), _origin(own_url(request))}
    if not is_own:
        raise HTTPException(403, "The request came from another site, so nothing was done. Use the page of Airflow.")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


FROM_OWN_PAGE = Depends(from_own_page)
"""For every route that changes something."""

Readable = Annotated[Account, Depends(_guard(lambda r, u, a: is_allowed(r, u, a.sync_dag), "read the DAG {sync}"))]
"""The account, for whoever may read its DAG."""

Editable = Annotated[Account, Depends(_guard(may_edit, "edit the DAG {sync}"))]
"""The account, for whoever may edit its DAG."""

Syncable = Annotated[Account, Depends(_guard(lambda r, u, a: may_trigger(r, u, a.sync_dag), "trigger the DAG {sync}"))]
"""The account, for whoever may trigger its DAG."""

Replayable = Annotated[
    Account, Depends(_guard(lambda r, u, a: may_trigger(r, u, a.replay_dag), "trigger the DAG {replay}"))
]
"""The account, for whoever may trigger the DAG that replays its quarantine."""

SignInReadable = Annotated[Account, Depends(_guard(lambda r, u, _: is_allowed(r, u, SIGN_IN_DAG), "read {sign_in}"))]
"""The account, for whoever may read the DAG that signs in."""

SignInAllowed = Annotated[
    Account, Depends(_guard(lambda r, u, _: may_trigger(r, u, SIGN_IN_DAG), "trigger the DAG {sign_in}"))
]
"""The account, for whoever may trigger the DAG that signs in."""


def is_allowed_to_sign_in(request: Request, user: BaseUser) -> bool:
    """Say whether `SignInAllowed` lets the user pass."""
    return may_trigger(request, user, SIGN_IN_DAG)
