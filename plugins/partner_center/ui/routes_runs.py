"""The runs of the sync: what each was asked, read and changed, and why one failed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from partner_center.ui import airflow_runs, guards
from partner_center.ui.addresses import airflow_root
from partner_center.ui.reading import reading
from partner_center.ui.rendering import page

router = APIRouter(include_in_schema=False)

PAGE_ROWS = 50


@router.get("/runs")
def show(
    request: Request,
    account: guards.Readable,
    state: Literal["", "success", "failed", "skipped", "running"] = "",
    after_started: datetime | None = None,
    after_run: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """Show a page of runs."""
    asked = {"state": state, "after_started": after_started, "after_run": after_run, "limit": PAGE_ROWS + 1}
    with reading(account) as reader:
        rows = reader.rows("runs", asked)
    return page(
        request,
        "runs.html",
        account=account,
        state=state,
        rows=rows[:PAGE_ROWS],
        following=rows[PAGE_ROWS - 1] if len(rows) > PAGE_ROWS else None,
        is_first=after_started is None,
    )


@router.get("/runs/{run_id}")
def show_one(request: Request, account: guards.Readable, run_id: str) -> Response:
    """Show a run, also one that has not come to the warehouse yet.

    Raises:
        HTTPException: 404 where neither the warehouse nor Airflow knows it.
    """
    with reading(account) as reader:
        run = reader.row("run", {"run_id": run_id})
        changes = reader.rows("run_changes", {"run_id": run_id}) if run else []
    in_airflow = airflow_runs.find(run_id, (account.sync_dag, account.replay_dag))
    if run is None and in_airflow is None:
        raise HTTPException(404, "There is no such run.")
    dag_id = in_airflow.dag_id if in_airflow else account.sync_dag
    return page(
        request,
        "run.html",
        account=account,
        run_id=run_id,
        run=run,
        changes=changes,
        in_airflow=in_airflow,
        airflow_url=f"{airflow_root(request)}/dags/{dag_id}/runs/{quote(run_id, safe='')}",
    )
