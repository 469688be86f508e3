"""The test after a deployment: each account's sync runs under the real scheduler, first dry, then in earnest.

Uses Airflow's ORM, so it is for a shell beside Airflow or the API server, not for a task.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from partner_center import accounts, airflow_store, warehouse
from partner_center.accounts import Account
from partner_center.errors import PartnerCenterError
from partner_center.ui import airflow_runs, progress
from partner_center.ui.progress import Progress
from partner_center.ui.starting import NotStarted, start_sync

Tell = Callable[[str], None]

_RUN_SECONDS = 30 * 60
_DAG_SECONDS = 3 * 60
_POLL_SECONDS = 2
_UNKNOWN, _BUSY = 404, 409


class SmokeTestFailed(PartnerCenterError):
    """A run did not end as it should."""


@dataclass(frozen=True, slots=True)
class NotTested:
    """Why nothing could be tried: a person's business, and no fault of the deployment."""

    why: str


def run_all(tell: Tell) -> int:
    """Test every account that is listed; return 0, also where an account is not switched on or nobody is signed in.

    Raises:
        SmokeTestFailed: a run failed, did not end in time, or stored less than it should.
        ConfigurationError: the list of accounts is wrong.
    """
    for account in accounts.listed(os.environ):
        skipped = run(account, tell)
        if skipped is not None:
            tell(f"  {account.name}: NOT TESTED. {skipped.why}")
    return 0


def run(account: Account, tell: Tell) -> NotTested | None:
    """Let an account's sync run twice; return why it could not be tried, else None; raises as `run_all`."""
    schedule = _schedule(account)
    if not airflow_store.sync_enabled(account):
        return NotTested("The sync is switched off.")
    if schedule.is_paused:
        return NotTested(f"The DAG {account.sync_dag} is paused: unpause it, then trigger it.")
    for conf in ({"dry_run": True}, {}):
        ended = _run_of(account, conf)
        if ended.state == "skipped":
            return NotTested(str((ended.counts or {}).get("reason") or "The run was skipped; its log says why."))
        _check(account, ended)
        tell(f"  {account.name}: {_told(ended, is_dry=bool(conf))}")
    tell(f"  {account.name}: {_stored(account)} referrals in the table")
    return None


def _schedule(account: Account) -> airflow_runs.Schedule:
    """Return the DAG's schedule, once the new DAG processor has read it."""
    for _ in _until(_DAG_SECONDS):
        if (found := airflow_runs.schedule_of(account.sync_dag)) is not None:
            return found
    raise SmokeTestFailed(
        f"Airflow does not know the DAG {account.sync_dag} after {_DAG_SECONDS} s, so it runs nothing. Read the log of "
        "the service dag-processor, and airflow dags list-import-errors."
    )


def _run_of(account: Account, conf: Mapping[str, Any]) -> Progress:
    """Start a run, behind one that is under way, and return it when it has ended."""
    run_id = _started(account, conf)
    for _ in _until(_RUN_SECONDS):
        found = progress.of(account, run_id)
        if found is not None and found.run.is_finished:
            return found
    raise SmokeTestFailed(
        f"The run {run_id} of {account.sync_dag} has not ended after {_RUN_SECONDS // 60} min. Look at its tasks in "
        "Airflow: queued ones wait for the scheduler or a worker."
    )


def _started(account: Account, conf: Mapping[str, Any]) -> str:
    for _ in _until(_RUN_SECONDS):
        try:
            return start_sync(account, conf, "deployment").run_id
        except NotStarted as err:
            if err.status not in {_UNKNOWN, _BUSY}:
                raise
    raise SmokeTestFailed(
        f"A run of {account.sync_dag} was under way for {_RUN_SECONDS // 60} min, so none could be started. Look at it "
        "in Airflow."
    )


def _check(account: Account, ended: Progress) -> None:
    if ended.state != "success" or ended.counts is None:
        reason = str((ended.counts or {}).get("reason") or ended.problem or "its log says why")
        tasks = ", ".join(ended.failed_tasks) or "none by itself"
        raise SmokeTestFailed(
            f"The run {ended.run.run_id} of {account.sync_dag} ended as {ended.state} (failed tasks: {tasks}): {reason}"
        )


def _told(ended: Progress, *, is_dry: bool) -> str:
    counts = ended.counts or {}
    does = "dry run, would insert" if is_dry else "inserted"
    return (
        f"fetched {counts['fetched']}, eligible {counts['eligible']}, {does} {counts['inserted']}, updated "
        f"{counts['updated']}, unchanged {counts['unchanged']}, persisted {counts['persisted']}"
    )


def _stored(account: Account) -> int:
    with warehouse.tables_of(account), warehouse.connect() as connection:
        row = connection.execute("select count(*) from partner_center_referrals").fetchone()
    return int(row[0]) if row else 0


def _until(seconds: int) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(_POLL_SECONDS)
