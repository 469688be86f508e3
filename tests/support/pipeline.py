"""The sync without Airflow's scheduler: the DAG's own tasks, called one after the other in this process.

Tasks, their order, their parameters and their SQL come from the DAG's file; a dictionary takes the place of XCom. So a
run takes a few tenths of a second, can end between any two tasks, and can go on later, as a cleared run does.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections import defaultdict
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from tests.support.environment import ROOT
from tests.support.runs import TASKS, load_dag


class Pipeline:
    """Runs the tasks; needs the connections and the sign-in that `run_sync` needs, and Airflow's Variables.

    Attributes:
        xcoms: run id to task id to what the task returned.
    """

    def __init__(self) -> None:
        self.xcoms: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self._dag = load_dag(ROOT / "dags")
        self._params: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    def run(
        self, run_id: str | None = None, *, from_task: str = TASKS[0], until: str = TASKS[-1], **params: Any
    ) -> dict[str, Any]:
        """Run the tasks from one to another, both included; return what the last one returned.

        A run that ends at its last task, or by an error, is closed by the DAG's teardown; one that ends `until` an
        earlier task looks like one whose worker was lost there.

        Args:
            run_id: a known one goes on with the params that it began with.
            from_task: the first task.
            until: the last task.
            params: the DAG's params, where they are not the default.
        """
        run_id = run_id or f"run-{next(self._numbers)}"
        known = self._params.setdefault(run_id, {**self._dag.params.dump(), **params})
        closes = until == TASKS[-1]
        try:
            for task_id in TASKS[TASKS.index(from_task) : TASKS.index(until) + 1]:
                self.xcoms[run_id].pop(task_id, None)
                self.xcoms[run_id][task_id] = self._execute(task_id, run_id, known)
        except Exception:
            closes = True
            raise
        finally:
            if closes:
                self.close(run_id)
        result: dict[str, Any] = self.xcoms[run_id][until]
        return result

    def close(self, run_id: str) -> None:
        """Do what the DAG's teardown does."""
        from airflow.sdk.exceptions import AirflowSkipException

        with contextlib.suppress(AirflowSkipException):
            self._execute("close_run", run_id, self._params[run_id])

    def _execute(self, task_id: str, run_id: str, params: Mapping[str, Any]) -> Any:
        def xcom_pull(task_ids: str) -> Any:
            return self.xcoms[run_id].get(task_ids)

        context = {
            "run_id": run_id,
            "params": params,
            "ti": SimpleNamespace(xcom_pull=xcom_pull),
            "outlet_events": defaultdict(SimpleNamespace),
        }
        # Rendering writes into the operator, which has to serve the next run, too.
        task = copy.copy(self._dag.task_dict[task_id])
        if hasattr(task, "python_callable"):
            return task.python_callable(**context)
        task.render_template_fields(context)
        # Airflow lets its own task runner alone call `execute`.
        return type(task).execute.__wrapped__(task, context)
