"""What Airflow itself knows of a DAG and its runs. For the API server, which may use the ORM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow.models import DagModel, DagRun, TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import select
from sqlalchemy.orm import Session

from partner_center.ui.storable import is_storable

# As the DAGs wire them; Airflow gives a run's tasks in no order.
_ORDER = (
    "acquire_token", "read_quarantine", "fetch_pages", "filter_referrals", "extract_domains", "load_referrals",
    "verify_counts", "close_run",
)  # fmt: skip
_UNFINISHED = (DagRunState.QUEUED, DagRunState.RUNNING)


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a run; `state` is empty before Airflow has looked at it."""

    task_id: str
    state: str
    attempt: int
    took: timedelta | None


@dataclass(frozen=True, slots=True)
class AirflowRun:
    """A run as Airflow sees it, its tasks in the order of the data's way."""

    run_id: str
    dag_id: str
    state: str
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    tasks: tuple[Task, ...]

    @property
    def is_finished(self) -> bool:
        """Whether Airflow has ended it."""
        return self.state not in _UNFINISHED


@dataclass(frozen=True, slots=True)
class Schedule:
    """Whether a DAG runs by itself, and when next; `next_run_at` is None for one that is paused or has no schedule."""

    is_paused: bool
    next_run_at: datetime | None


def schedule_of(dag_id: str) -> Schedule | None:
    """Return the DAG's schedule, None for one that Airflow does not know."""
    with own_session() as session:
        found = session.get(DagModel, dag_id)
        if found is None or found.is_stale:
            return None
        return Schedule(found.is_paused, None if found.is_paused else found.next_dagrun_create_after)


def unfinished_run(dag_id: str) -> str | None:
    """Return the id of a run that is queued or running, None where there is none."""
    with own_session() as session:
        return unfinished_in(session, dag_id)


def find(run_id: str, dag_ids: Iterable[str]) -> AirflowRun | None:
    """Return a run of one of the DAGs, None where Airflow knows none."""
    if not is_storable(run_id):
        return None
    with own_session() as session:
        asked = select(DagRun).where(DagRun.run_id == run_id, DagRun.dag_id.in_(list(dag_ids))).limit(1)
        found = session.scalar(asked)
        if found is None:
            return None
        instances = select(TaskInstance).where(
            TaskInstance.run_id == run_id, TaskInstance.dag_id == found.dag_id, TaskInstance.map_index < 0
        )
        tasks = sorted(session.scalars(instances), key=_place)
        return AirflowRun(
            run_id,
            found.dag_id,
            str(found.state),
            found.queued_at,
            found.start_date,
            found.end_date,
            tuple(_task(each) for each in tasks),
        )


def unfinished_in(session: Session, dag_id: str) -> str | None:
    """Return the same within a session."""
    asked = select(DagRun.run_id).where(DagRun.dag_id == dag_id, DagRun.state.in_(_UNFINISHED))
    return session.scalar(asked.order_by(DagRun.id).limit(1))


@contextmanager
def own_session() -> Iterator[Session]:
    """Open a session that is not the thread's shared one, which Airflow's functions commit in the middle of ours."""
    with create_session(scoped=False) as session:
        yield session


def _place(each: TaskInstance) -> int:
    return _ORDER.index(each.task_id) if each.task_id in _ORDER else len(_ORDER)


def _task(each: TaskInstance) -> Task:
    took = timedelta(seconds=each.duration) if each.duration is not None and each.end_date is not None else None
    return Task(each.task_id, str(each.state or ""), each.try_number, took)
