"""`make demo`: the main job from nothing, once, and the proof that every row is accounted for."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import funnel
from .airflow_home import choose_keys, keep_connections, migrating
from .plan import BIN, FLAG, LOGS, ROOT, Plan, make_plan, only_one
from .postgres import warehouse
from .processes import child, wait_for_exit
from .sign_in import sign_in
from .simulator import simulator
from .steps import StackError, say, shown, step
from .warehouse_report import first_rows, newest_run

DAG = "partner_center_referral_sync"
LOG = LOGS / "demo-run.log"
RUN_SECONDS = 600
PYTHON = Path(sys.executable)


def demo() -> None:
    """Start the parts, sign in, run the DAG once, show the funnel.

    Raises:
        StackError: a part did not start, or the run did not succeed.
    """
    begun = time.monotonic()
    plan = make_plan(dotenv=False)
    say("Partner Center referral sync: one run, from nothing")
    with only_one(), ExitStack() as parts:
        choose_keys(plan)
        plan.choose(FLAG, "true")
        # The metadata database takes longest: it is migrated while the others start.
        migrated = parts.enter_context(migrating(plan, PYTHON, enable=False))
        parts.enter_context(warehouse(plan))
        before = newest_run(plan)
        found = parts.enter_context(simulator(plan, PYTHON))
        keep_connections(plan)
        migrated()
        sign_in(plan, PYTHON, found)
        run = run_dag(plan, before)
        rows, total = first_rows(plan)
    funnel.show(run, rows, total)
    say(f"\n  The run succeeded. {time.monotonic() - begun:.0f} s in all, nothing left running.")
    say(f"  Log of the run: {shown(LOG)}. Next: `make up` for Airflow's UI over the same data.")


def run_dag(plan: Plan, before: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Run the sync DAG once through Airflow and return its entry in the table of runs.

    A full run, not an incremental one: a second demo then shows that unchanged rows stay untouched.
    """
    command: list[str | Path] = [BIN / "airflow", "dags", "test", DAG, "--conf", '{"mode": "full"}']
    with (
        step(f"Airflow runs {DAG} (log: {shown(LOG)})"),
        child(command, plan.environment, LOG, cwd=ROOT) as run,
    ):
        seconds = RUN_SECONDS if plan.simulated else None
        code = wait_for_exit(run, seconds, "The run", LOG)
        if code != 0:
            message = f"The run failed: `airflow dags test {DAG}` ended with exit code {code}."
            raise StackError(message, f"The first error in {shown(LOG)} names the task and the cause.", LOG)
        return checked_run(plan, before)


def checked_run(plan: Plan, before: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return this run's entry in the table of runs; raise when it says anything but success."""
    run = newest_run(plan)
    if run is None or (before is not None and run["run_id"] == before["run_id"]):
        message = "The run ended without an entry in partner_center_sync_runs: its tasks were skipped."
        raise StackError(message, f"{shown(LOG)} says why: the flag is off, or nobody is signed in.", LOG)
    if run["state"] != "success":
        message = f"The run {run['run_id']} ended as {run['state']}: {run['reason'] or 'no reason given'}."
        raise StackError(message, f"{shown(LOG)} tells the whole.", LOG)
    return run
