"""Runs of the DAG in this process, through Airflow: `dag.test()`, and clearing tasks of an existing run."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

DAG_ID = "partner_center_referral_sync"
TASKS = ("acquire_token", "fetch_pages", "filter_referrals", "extract_domains", "load_referrals", "verify_counts")


class Tee(io.TextIOBase):
    """Airflow's log output: to standard output, where pytest shows it for a failed test, and to who listens."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.listeners: list[list[str]] = []

    def write(self, text: str) -> int:
        """Pass a text on."""
        for listener in self.listeners:
            listener.append(text)
        return sys.stdout.write(text)

    def flush(self) -> None:
        """Nothing is held back."""

    @contextlib.contextmanager
    def listening(self) -> Iterator[list[str]]:
        """Collect what is logged meanwhile."""
        heard: list[str] = []
        self.listeners.append(heard)
        try:
            yield heard
        finally:
            self.listeners.remove(heard)

    def install(self) -> None:
        """Take the place of standard output in Airflow's own logging set-up; format and masking stay its own."""
        import structlog
        from airflow._shared.logging.structlog import LoggerFactory, NamedWriteLogger

        structlog.configure(logger_factory=LoggerFactory(NamedWriteLogger, io=self))
        for handler in logging.getLogger().handlers:
            if type(handler) is logging.StreamHandler:
                handler.setStream(self)


@dataclass
class Run:
    """A run and how it ended.

    Attributes:
        run_id: Airflow's id of the run.
        state: `success` or `failed`.
        task_states: task id to state (`success`, `failed`, `skipped`, `upstream_failed`, …).
        xcoms: task id to its return value, of the tasks that returned one.
        log: everything that was logged, as Airflow prints it (masked by Airflow where it masks).
        seconds: how long it took.
        closed: the state of the teardown `close_run`.
    """

    run_id: str
    state: str
    task_states: dict[str, str]
    xcoms: dict[str, Any] = field(repr=False)
    log: str = field(repr=False)
    seconds: float = 0.0
    closed: str = ""

    @property
    def counts(self) -> dict[str, Any]:
        """The counts that `verify_counts` returned."""
        assert "verify_counts" in self.xcoms, f"no counts: {self}\n{self.log[-6000:]}"
        return self.xcoms["verify_counts"]

    def failed_in(self, task_id: str) -> bool:
        """Say whether the run failed in this task and in no other."""
        failed = [name for name, state in self.task_states.items() if state == "failed"]
        return self.state == "failed" and failed == [task_id]


class Runner:
    """Runs the sync DAG: `runner(conf)`, then `runner.clear(run, task_ids)`.

    The DAG is parsed from its file for each call, as a worker does: one that ran keeps the params of its run. Only
    Airflow's own retries are set: none by default, since a retry would wait for half a minute; `retries=1` gives one
    without a pause.
    """

    def __init__(self, dags: Path, tee: Tee, dag_id: str = DAG_ID) -> None:
        self._dags = dags
        self._tee = tee
        self._dag_id = dag_id

    def of(self, dag_id: str) -> Runner:
        """Return a runner of another DAG."""
        return Runner(self._dags, self._tee, dag_id)

    def __call__(self, conf: dict[str, Any] | None = None, *, retries: int = 0) -> Run:
        """Run the DAG once; a run that fails is returned like any other."""
        with self._tee.listening() as heard, _quietly():
            begun = time.monotonic()
            dag = self._parsed(retries)
            with _synced_once(self._dag_id):
                made = dag.test(run_conf=conf or {})
            return self._outcome(made.run_id, heard, begun)

    def clear(self, run: Run, *task_ids: str, downstream: bool = False, retries: int = 0) -> Run:
        """Clear tasks of a run as a person does in the UI, run what was cleared, and return how it ended."""
        from airflow.models.dagrun import DagRun
        from airflow.sdk.definitions.dag import _run_task
        from airflow.serialization.serialized_objects import DagSerialization
        from airflow.utils.session import create_session
        from airflow.utils.state import DagRunState, TaskInstanceState
        from sqlalchemy import select

        with self._tee.listening() as heard, _quietly(), create_session() as session:
            begun = time.monotonic()
            parsed = self._parsed(retries)
            dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(parsed))
            chosen = dag.partial_subset(task_ids=set(task_ids), include_upstream=False, include_downstream=downstream)
            dag.clear(
                run_id=run.run_id,
                task_ids=list(chosen.task_dict),
                dag_run_state=DagRunState.RUNNING,
                session=session,
            )
            session.commit()
            found = session.scalars(select(DagRun).where(DagRun.run_id == run.run_id)).one()
            found.dag = dag
            # The loop of dag.test(), which itself can only begin a new run.
            while found.state in (DagRunState.RUNNING, DagRunState.QUEUED):
                session.expire_all()
                ready, _ = found.update_state(session=session)
                for each in ready:
                    each.try_number += 1
                    each.state = TaskInstanceState.SCHEDULED
                session.commit()
                for each in ready:
                    _run_task(ti=each, task=parsed.task_dict[each.task_id], run_triggerer=True)
            return self._outcome(run.run_id, heard, begun)

    def _parsed(self, retries: int) -> Any:
        dag = load_dag(self._dags, self._dag_id)
        for task in dag.tasks:
            task.retries = retries
            task.retry_delay = timedelta(0)
        return dag

    def _outcome(self, run_id: str, heard: list[str], begun: float) -> Run:
        from airflow.models.dagrun import DagRun
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            found = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
            states = {ti.task_id: str(ti.state) for ti in found.get_task_instances(session=session)}
            entries = session.scalars(XComModel.get_many(run_id=run_id, dag_ids=self._dag_id, key="return_value")).all()
            xcoms = {entry.task_id: XComModel.deserialize_value(entry) for entry in entries}
            state = str(found.state)
        ordered = {task_id: states[task_id] for task_id in TASKS} if self._dag_id == DAG_ID else states
        return Run(run_id, state, ordered, xcoms, "".join(heard), time.monotonic() - begun, states.get("close_run", ""))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Let warnings of Airflow's own code pass, but not of ours; skip the seconds that dag.test() waits in its loop.

    That loop sleeps for a second for each task whose upstream failed, as if somebody else would run it.
    """
    sleep = time.sleep

    def unless_in_the_loop(seconds: float) -> None:
        if sys._getframe(1).f_globals.get("__name__") != "airflow.sdk.definitions.dag":
            sleep(seconds)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module=r"partner_center(\.|$)")
        time.sleep = unless_in_the_loop
        try:
            yield
        finally:
            time.sleep = sleep


_SYNCED: set[str] = set()


@contextlib.contextmanager
def _synced_once(dag_id: str) -> Iterator[None]:
    """Have dag.test() write the folder's DAGs into the metadata for the first run of one, not anew for each.

    It parses all files for that, a second time beside ours, and finds that it knows them: a fifth of a run's time.
    """
    from airflow.dag_processing import dagbag

    if dag_id not in _SYNCED:
        yield
        _SYNCED.add(dag_id)
        return
    with mock.patch.object(dagbag, "BundleDagBag"), mock.patch.object(dagbag, "sync_bag_to_db"):
        yield


def load_dag(dags: Path, dag_id: str = DAG_ID) -> Any:
    """Return a DAG, parsed from its file."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(dags))
    assert bag.import_errors == {}
    return bag.dags[dag_id]
