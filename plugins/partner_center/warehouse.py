"""The partner's own PostgreSQL: connections to it, and its schema."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from partner_center.errors import ApiUnavailable, ConfigurationError, PartnerCenterError, SchemaBehind
from partner_center.redaction import redact
from partner_center.settings import AUTO_MIGRATE_VARIABLE, WAREHOUSE_CONNECTION_ID

log = logging.getLogger(__name__)

# The tables are in public, whatever the role's own search path; times come back in UTC; hash tables of narrow rows
# stay in memory, so that wide rows are not spilled to disk beside them; and compiling a statement that runs once costs
# more than it saves. A worker whose machine is lost keeps its locks until PostgreSQL notices: after two minutes here,
# not after the two hours of TCP's own keepalive. (SET, since pgbouncer refuses options.)
_SESSION = """
set search_path = public; set timezone = 'UTC'; set work_mem = '64MB'; set jit = off;
set tcp_keepalives_idle = 60; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 6;
set idle_in_transaction_session_timeout = '10min'; set lock_timeout = '10min'
"""

MIGRATION_LOCK = "select pg_advisory_xact_lock(hashtextextended('partner_center_migrations', 0))"

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOCK_NOT_AVAILABLE, _IDLE_IN_TRANSACTION, _UNIQUE_VIOLATION = "55P03", "25P03", "23505"
_TRANSIENT_CLASSES = frozenset({"08", "40", "53", "55", "57"})
_LOCKED = (
    "Another session has held a lock on the partner_center tables for 10 minutes: another run of the sync, or an open "
    "transaction of somebody. Nothing was half written; it is tried again by itself. If it lasts, find the session: "
    "select * from pg_stat_activity where pid in (select unnest(pg_blocking_pids(pid)) from pg_stat_activity)."
)


class WarehouseUnavailable(ApiUnavailable):
    """The warehouse could not be reached or ended the connection: worth another try."""


class WarehouseError(PartnerCenterError):
    """The warehouse refused a statement."""


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn psycopg's errors into ours, without the row that PostgreSQL quotes in its details.

    Raises:
        WarehouseUnavailable: connection lost or refused, shutdown, deadlock, lock or statement time-out.
        WarehouseError: everything else that PostgreSQL refuses.
    """
    try:
        yield
    except psycopg.Error as err:
        code = err.sqlstate or "no SQLSTATE"
        text = redact((err.diag.message_primary or str(err)).splitlines()[0])[:300]
        if err.sqlstate == _LOCK_NOT_AVAILABLE:
            raise WarehouseUnavailable(_LOCKED) from None
        if _is_transient(err):
            raise WarehouseUnavailable(
                f"The warehouse is unavailable ({code}: {text}). Nothing was half written; it is tried again by "
                f"itself. If it lasts, check PostgreSQL and the connection {WAREHOUSE_CONNECTION_ID}."
            ) from None
        raise WarehouseError(
            f"The warehouse refused a statement ({code}: {text}). Nothing of it was written. {_remedy(code)}"
        ) from None


def _remedy(code: str) -> str:
    if code.startswith("23"):
        return "A constraint that this package did not make stands on its tables: drop it or loosen it."
    if code.startswith("P0"):
        return "A trigger that this package did not make raised it: drop the trigger or mend it."
    return (
        f"Check the rights of the user of the connection {WAREHOUSE_CONNECTION_ID} and that the schema is current: "
        "alembic current."
    )


def _is_transient(err: psycopg.Error) -> bool:
    if err.sqlstate is None or err.sqlstate[:2] in _TRANSIENT_CLASSES:
        return isinstance(err, psycopg.OperationalError)
    # Only two workers on the same run number a staged row alike; the next try is alone.
    twice = err.sqlstate == _UNIQUE_VIOLATION and (err.diag.table_name or "").startswith("partner_center_staged")
    return twice or err.sqlstate == _IDLE_IN_TRANSACTION


@contextlib.contextmanager
def connect() -> Iterator[psycopg.Connection[Any]]:
    """Open the connection ``partner_center_db`` (times in UTC); commits at the end, rolls back on an error.

    Raises:
        ConfigurationError: there is no such connection.
        WarehouseUnavailable, WarehouseError: see `translated_errors`.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    try:
        hook = PostgresHook(WAREHOUSE_CONNECTION_ID)
        with translated_errors(), _session(hook) as connection:
            yield connection
    except AirflowNotFoundException as err:
        raise ConfigurationError(
            f"The connection {WAREHOUSE_CONNECTION_ID} does not exist, so there is no database to load into. Create it "
            "(type Postgres) under Admin > Connections."
        ) from err


def _session(hook: Any) -> psycopg.Connection[Any]:
    connection: psycopg.Connection[Any] = hook.get_conn()
    connection.execute(_SESSION)
    connection.commit()
    return connection


def run_sql(connection: psycopg.Connection[Any], sql: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run statements one by one, in the connection's transaction.

    Args:
        connection: to the warehouse.
        sql: the statements, each ended by a semicolon.
        parameters: bound to every statement.

    Returns:
        The one row that the last statement selects, by column name.
    """
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    with connection.cursor(row_factory=dict_row) as cursor:
        for statement in PostgresHook.split_sql_string(sql):
            cursor.execute(statement, parameters)
        return cursor.fetchone() or {}


def revisions(migrations: Path) -> tuple[str | None, str]:
    """Return the schema's revision, None before the first run, and the newest one that this code knows.

    Raises:
        ConfigurationError, WarehouseUnavailable, WarehouseError: as `connect`.
    """
    with connect() as connection:
        current = _revision(connection)
    # A revision's file is named for it, in order: no need to wait for alembic's import where there is nothing to do.
    return current, max(file.stem for file in (migrations / "versions").glob("*.py"))


def ensure_schema(migrations: Path, *, auto_migrate: bool) -> None:
    """Bring the warehouse's schema to the newest revision, or check that it is there.

    Args:
        migrations: folder of alembic's scripts.
        auto_migrate: False only checks.

    Raises:
        SchemaBehind: the schema is behind and `auto_migrate` is off.
        ConfigurationError: the schema is of newer code than this.
    """
    current, newest = revisions(migrations)
    if current == newest:
        return
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrations))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise ConfigurationError(
            f"The warehouse's schema is at revision {current}, which this code does not know: newer code brought it "
            "there. Deploy that code again, or go back with its own: alembic downgrade."
        )
    if not auto_migrate:
        raise SchemaBehind(
            f"The warehouse's schema is at revision {current or 'none'}, this code needs {head}, and "
            f"{AUTO_MIGRATE_VARIABLE} is false. Run: make migrate (or: alembic upgrade head), then clear this task."
        )
    log.info("Bringing the warehouse's schema from revision %s to %s.", current or "none", head)
    _upgrade(config)


def engine() -> Any:
    """Return a SQLAlchemy engine on the connection ``partner_center_db``, for alembic."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    # The hook's own way to connect, so that every extra of the connection works as it does for the tasks.
    hook = PostgresHook(WAREHOUSE_CONNECTION_ID)
    return create_engine("postgresql+psycopg://", creator=lambda: _session(hook), poolclass=NullPool)


def _upgrade(config: Any) -> None:
    from alembic import command
    from sqlalchemy.exc import DBAPIError

    with translated_errors():
        try:
            with engine().begin() as connection:
                connection.connection.cursor().execute(MIGRATION_LOCK)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except DBAPIError as err:
            raise (err.orig or err) from None


def _revision(connection: psycopg.Connection[Any]) -> str | None:
    known = connection.execute("select to_regclass('partner_center_alembic_version')").fetchone()
    if known is None or known[0] is None:
        return None
    row = connection.execute("select version_num from partner_center_alembic_version").fetchone()
    return str(row[0]) if row else None
