"""What Airflow itself has to be set to: keys, the token cache's encryption, and the DAG as its parser stored it.

Reads the configuration and the metadata database, and changes neither. For scripts and the API server: a task reaches
no metadata database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from partner_center.settings import TOKEN_CACHE_VARIABLE

DAG_ID = "partner_center_referral_sync"
WATCH_DAG_ID = "partner_center_watch"


@dataclass(frozen=True, slots=True)
class StoredDag:
    """A DAG as the metadata database has it; `missing_pools` are pools that a task names and nobody made."""

    max_active_runs: int | None
    is_paused: bool
    has_import_errors: bool
    missing_pools: tuple[str, ...]


def fernet_key_is_set() -> bool:
    """Say whether Airflow encrypts what it stores."""
    return bool(_option("core", "fernet_key"))


def jwt_key_is_set() -> bool:
    """Say whether the API server's tokens are signed by a key that all components share."""
    return bool(_option("api_auth", "jwt_secret") or _option("api_auth", "jwt_private_key_path"))


def reach_metadata() -> None:
    """Ask the metadata database for something that every migrated one has; raises SQLAlchemy's errors."""
    stores_connection("")


def stores_connection(connection_id: str) -> bool:
    """Say whether the metadata database has a connection of that id, be it readable or not."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return session.scalar(select(Connection.id).where(Connection.conn_id == connection_id)) is not None


def caches_in_clear() -> list[str]:
    """Return the names of the Variables with a token cache that stand in the metadata database unencrypted."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        kept = select(Variable.key).where(
            Variable.key.startswith(TOKEN_CACHE_VARIABLE, autoescape=True), Variable.is_encrypted.is_(False)
        )
        return sorted(session.scalars(kept))


def stored_dag(dag_id: str) -> StoredDag | None:
    """Return a DAG without parsing its file, or None where Airflow has not stored it."""
    from airflow.models import DagModel, Pool
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        model = session.get(DagModel, dag_id)
        stored = SerializedDagModel.get(dag_id, session=session)
        if model is None or stored is None or model.is_stale:
            return None
        made = set(session.scalars(select(Pool.pool)))
        missing = tuple(sorted(_pools((stored.data or {}).get("dag", {})) - made))
        return StoredDag(model.max_active_runs, bool(model.is_paused), bool(model.has_import_errors), missing)


def _pools(dag: dict[str, Any]) -> set[str]:
    """Return the pools that the tasks of a serialized DAG name; what names none is in Airflow's own."""
    tasks = [task.get("__var", task) for task in dag.get("tasks", [])]
    return {str(task.get("pool") or "default_pool") for task in tasks}


def _option(section: str, name: str) -> str:
    from airflow.configuration import conf

    return str(conf.get(section, name, fallback="") or "").strip()
