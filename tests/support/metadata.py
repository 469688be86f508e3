"""Airflow's metadata as the DAG processor and the scheduler would have left it, without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def make_dags_known(folder: Path) -> None:
    """Write the DAGs of a folder to the metadata database, as the DAG processor does."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=str(folder))
    assert bag.import_errors == {}
    sync_bag_to_db(bag, "dags-folder", None)


def is_known(*dag_ids: str) -> bool:
    """Say whether Airflow knows DAGs, and holds none of them for gone."""
    from airflow.models import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session() as session:
        known = select(func.count()).where(DagModel.dag_id.in_(dag_ids), DagModel.is_stale.is_(False))
        return session.scalar(known) == len(dag_ids)


def runs_of(dag_id: str) -> list[Any]:
    """Return the runs of a DAG."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = list(session.scalars(select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id)))
        session.expunge_all()
    return found


def forget_runs() -> None:
    """Delete all runs, with their tasks."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(DagRun))


def set_run(run_id: str, state: str, tasks: Mapping[str, str | None]) -> None:
    """Put a run and its tasks into states, as the scheduler and the workers would."""
    from airflow.models import DagRun, TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import update

    begun = datetime(2026, 11, 25, 10, tzinfo=UTC)
    with create_session() as session:
        session.execute(update(DagRun).where(DagRun.run_id == run_id).values(state=state, start_date=begun))
        for task_id, task_state in tasks.items():
            of_task = (TaskInstance.run_id == run_id, TaskInstance.task_id == task_id)
            session.execute(update(TaskInstance).where(*of_task).values(state=task_state, start_date=begun))


@contextmanager
def paused(dag_id: str, *, is_paused: bool) -> Iterator[None]:
    """Pause a DAG or not, meanwhile."""
    from airflow.models import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    def put(value: bool) -> None:
        with create_session() as session:
            session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(is_paused=value))

    put(is_paused)
    try:
        yield
    finally:
        put(not is_paused)
