"""Runs that are started from a page or by a program, and how far they are."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Body, Form, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from partner_center.accounts import Account
from partner_center.redaction import mask_email
from partner_center.ui import guards, progress, starting
from partner_center.ui.rendering import page, query_of
from partner_center.ui.starting import NotStarted, Started

log = logging.getLogger(__name__)
router = APIRouter()

Mode = Literal["incremental", "full"]


class SyncRequest(BaseModel):
    """The params of a run; what is left out is as for a scheduled one."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode | None = Field(None, description="incremental: what changed; full: everything, and what has vanished.")
    direction: Literal["Incoming", "Outgoing", "any"] | None = None
    statuses: list[str] | None = Field(None, description="New, Active, Closed or None, in any case.")
    max_pages: int | None = Field(None, description="Where the API has more pages, the run fails.")
    dry_run: bool | None = Field(None, description="Writes nothing to the referrals; the counts tell what would be.")

    def conf(self) -> dict[str, Any]:
        """Return what was given, as the DAG takes it."""
        return self.model_dump(exclude_none=True)


class SyncStarted(BaseModel):
    """A run was queued."""

    success: Literal[True] = True
    dag_run_id: str
    is_paused: bool = Field(description="The DAG is paused, so the run waits until it is not.")


class SyncNotStarted(BaseModel):
    """No run was started, and `detail` says why."""

    success: Literal[False] = False
    detail: str


_EXAMPLES: dict[str, Any] = {
    "scheduled": {"summary": "As a scheduled run", "value": {}},
    "sweep": {"summary": "Everything, without a write", "value": {"mode": "full", "dry_run": True}},
}


@router.post(
    "/api/v1/referrals/sync",
    dependencies=[guards.FROM_OWN_PAGE],
    summary="Start a run of the sync",
    response_model=SyncStarted,
    responses={
        400: {"model": SyncNotStarted, "description": "The sync is switched off, or the DAG does not take the params."},
        403: {"description": "The user may not trigger the DAG, or another site made the browser send this."},
        404: {"model": SyncNotStarted, "description": "There is no such account, or no such DAG yet."},
        409: {"model": SyncNotStarted, "description": "A run is queued or running."},
        422: {"description": "The body is no JSON, or of another shape."},
    },
)
def start_by_program(
    user: GetUserDep,
    account: guards.Syncable,
    body: Annotated[SyncRequest | None, Body(openapi_examples=_EXAMPLES)] = None,
) -> Any:
    """Queue a run with the given params, unless one is unfinished. The body may be left out.

    Raises:
        ConfigurationError, ApiUnavailable: the feature flag cannot be read.
    """
    try:
        started = _started_sync(user, account, body.conf() if body else {})
    except NotStarted as err:
        return JSONResponse(SyncNotStarted(detail=err.message).model_dump(), err.status)
    return SyncStarted(dag_run_id=started.run_id, is_paused=started.is_paused)


@router.post("/sync", include_in_schema=False, dependencies=[guards.FROM_OWN_PAGE])
def start_by_form(
    request: Request,
    user: GetUserDep,
    account: guards.Syncable,
    mode: Annotated[Mode, Form()] = "incremental",
    dry_run: Annotated[bool, Form()] = False,
) -> Response:
    """Start a run by a button, and show it.

    Raises:
        ConfigurationError, ApiUnavailable: the feature flag cannot be read.
    """
    try:
        started = _started_sync(user, account, {"mode": mode, "dry_run": dry_run})
    except NotStarted as err:
        return _not_started(request, account, err)
    return _shown(request, account, started, f"/runs/{quote(started.run_id, safe='')}")


@router.post("/quarantine/replay", include_in_schema=False, dependencies=[guards.FROM_OWN_PAGE])
def replay(
    request: Request,
    user: GetUserDep,
    account: guards.Replayable,
    reason: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Start a run that loads what is in quarantine, of one reason or all; Microsoft is not asked for that."""
    try:
        started = starting.start(account.replay_dag, {"reason": reason} if reason else {}, user.get_name())
    except NotStarted as err:
        return _not_started(request, account, err)
    _tell(user, account.replay_dag, started)
    return _shown(request, account, started, "/quarantine")


@router.get("/runs/{run_id}/progress", include_in_schema=False)
def show_progress(
    request: Request, account: guards.Readable, run_id: str, seen: Annotated[str, Query(max_length=12)] = ""
) -> Response:
    """Show how far a run is; 204 where nothing has changed since what the page has seen, so that it stays as it is.

    Raises:
        HTTPException: 404, Airflow knows no such run.
    """
    found = progress.of(account, run_id)
    if found is None:
        raise HTTPException(404, "Airflow knows no such run of this account (any more). Look among the runs.")
    if seen == found.version and not found.run.is_finished:
        return Response(status_code=204)
    response = page(request, "progress.html", account=account, progress=found)
    if seen and found.run.is_finished:
        response.headers["HX-Trigger"] = "run-ended"
    return response


def _started_sync(user: BaseUser, account: Account, conf: dict[str, Any]) -> Started:
    started = starting.start_sync(account, conf, user.get_name())
    _tell(user, account.sync_dag, started)
    return started


def _tell(user: BaseUser, dag_id: str, started: Started) -> None:
    log.info("%s started the run %s of the DAG %s.", mask_email(user.get_name()), started.run_id, dag_id)


def _shown(request: Request, account: Account, started: Started, path: str) -> Response:
    """Answer htmx with the run's progress, and a form with the page where it is to be seen."""
    if "hx-request" in request.headers and (found := progress.of(account, started.run_id)) is not None:
        return page(request, "progress.html", account=account, progress=found)
    return RedirectResponse(f"{request.scope.get('root_path', '')}{path}{query_of(account)}", 303)


def _not_started(request: Request, account: Account, err: NotStarted) -> Response:
    return page(request, "sync_not_started.html", err.status, account=account, refusal=err)
