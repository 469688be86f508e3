"""How a page starts a run of a DAG: never a second one beside a first, whoever presses what at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.exceptions import DagNotFound, ParamValidationError
from airflow.models import DagModel
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from partner_center import airflow_store
from partner_center.accounts import Account
from partner_center.errors import PartnerCenterError
from partner_center.settings import ENABLED_VARIABLE
from partner_center.ui.airflow_runs import own_session, unfinished_in


class NotStarted(PartnerCenterError):
    """No run was started.

    Args:
        status: HTTP status that says why: 400 switched off or wrong params, 404 no such DAG, 409 one runs already.
        message: what happened, what it means, what to do next.
        running: the run that is unfinished.
    """

    def __init__(self, status: int, message: str, running: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.running = running

    def __reduce__(self) -> tuple[type[NotStarted], tuple[int, str, str | None]]:
        return type(self), (self.status, self.message, self.running)


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was queued; it waits as long as its DAG is paused."""

    run_id: str
    is_paused: bool


def start_sync(account: Account, conf: Mapping[str, Any], user_name: str) -> Started:
    """Start a run of an account's sync.

    Raises:
        NotStarted: the flag is off, and as `start`.
        ConfigurationError, ApiUnavailable: the flag cannot be read.
    """
    if not airflow_store.sync_enabled(account):
        own = "" if account.is_default else f", and {account.enabled_variable} to true, or delete it"
        raise NotStarted(
            400,
            "The sync is switched off, so no run was started. To switch it on, set the Variable "
            f"{ENABLED_VARIABLE} to true{own} (Admin > Variables).",
        )
    return start(account.sync_dag, conf, user_name)


def start(dag_id: str, conf: Mapping[str, Any], user_name: str) -> Started:
    """Start a run of a DAG.

    Raises:
        NotStarted: a run is unfinished, the DAG does not take the params, or Airflow does not know it.
    """
    with own_session() as session:
        is_paused = _locked(session, dag_id)
        if (other := unfinished_in(session, dag_id)) is not None:
            raise NotStarted(
                409,
                "A run is queued or running already, so no second one was started. Wait for its end, or end it in "
                "Airflow.",
                other,
            )
        try:
            made = trigger_dag(
                dag_id=dag_id,
                conf=dict(conf),
                triggered_by=DagRunTriggeredByType.REST_API,
                triggering_user_name=user_name,
                session=session,
            )
        except DagNotFound:
            raise _unknown(dag_id) from None
        except (ParamValidationError, ValueError) as err:
            told = str(err).splitlines()[0].rstrip(".")
            raise NotStarted(400, f"The DAG {dag_id} does not take these params: {told}. No run was started.") from err
        if made is None:
            raise _unknown(dag_id)
        return Started(str(made.run_id), is_paused)


def _locked(session: Session, dag_id: str) -> bool:
    """Keep others from starting a run of the DAG until the session ends; return whether it is paused.

    By a write that changes nothing: SQLite has no row locks, and there a transaction that has read before may not write
    after somebody else has. So this has to come first.
    """
    is_known = (DagModel.dag_id == dag_id, DagModel.is_stale.is_(False))
    unchanged = update(DagModel).where(*is_known).values(is_paused=DagModel.is_paused)
    touched: Any = session.execute(unchanged, execution_options={"synchronize_session": False})
    if touched.rowcount != 1:
        raise _unknown(dag_id)
    return bool(session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id)))


def _unknown(dag_id: str) -> NotStarted:
    return NotStarted(
        404,
        f"Airflow does not know the DAG {dag_id} (yet), so no run was started. It finds new files within some minutes; "
        "if it stays so, look for import errors under DAGs.",
    )
