"""How far a run is: the states of its tasks, as Airflow has them, and the counts that it has written so far."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from partner_center.accounts import Account
from partner_center.errors import PartnerCenterError, SchemaBehind
from partner_center.ui import airflow_runs
from partner_center.ui.airflow_runs import AirflowRun
from partner_center.ui.reading import Row, reading

_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Progress:
    """A run for a page.

    Attributes:
        run: what Airflow knows of it.
        counts: its row in partner_center_sync_runs, None while it has none.
        problem: why the counts could not be read, else empty; the states are good all the same.
    """

    run: AirflowRun
    counts: Row | None
    problem: str = ""

    @property
    def version(self) -> str:
        """A name for what is to be seen: the same as long as nothing of it changes."""
        return hashlib.sha256(repr((self.run, self.counts, self.problem)).encode()).hexdigest()[:12]

    @property
    def state(self) -> str:
        """The run's end as the sync itself sees it (a skipped run is a success to Airflow), else Airflow's state."""
        written = self.counts["state"] if self.counts else ""
        return str(written) if self.run.is_finished and written not in {"", "running"} else self.run.state

    @property
    def failed_tasks(self) -> list[str]:
        """The tasks that failed by themselves."""
        return [task.task_id for task in self.run.tasks if task.state == "failed"]


def of(account: Account, run_id: str) -> Progress | None:
    """Return the progress of a run of the account's sync or replay, None for one that Airflow does not know."""
    run = airflow_runs.find(run_id, (account.sync_dag, account.replay_dag))
    if run is None:
        return None
    try:
        with reading(account, _SECONDS) as reader:
            return Progress(run, reader.row("run", {"run_id": run_id}))
    except SchemaBehind:
        return Progress(run, None)  # the first run makes the tables
    except PartnerCenterError as err:
        return Progress(run, None, str(err))
