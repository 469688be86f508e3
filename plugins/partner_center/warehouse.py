"""The partner's own PostgreSQL: connections to it, and its schema.

Each partner account has its tables in a schema of its own, and a session sees one schema alone: the one of the account
that `tables_of` names, else the default account's. No statement names a schema, so none can reach another account.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from partner_center import accounts
from partner_center.accounts import Account
from partner_center.errors import ApiUnavailable, ConfigurationError, PartnerCenterError, SchemaBehind
from partner_center.redaction import redact
from partner_center.settings import AUTO_MIGRATE_VARIABLE, WAREHOUSE_CONNECTION_ID

log = logging.getLogger(__name__)

# Times come back in UTC; hash tables of narrow rows stay in memory, so that wide rows are not spilled to disk beside
# them; and compiling a statement that runs once costs more than it saves. A worker whose machine is lost keeps its
# locks until PostgreSQL notices: after two minutes here, not after the two hours of TCP's own keepalive. (SET, since
# pgbouncer refuses options.)
_SESSION = """
set timezone = 'UTC'; set work_mem = '64MB'; set jit = off;
set tcp_keepalives_idle = 60; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 6;
set idle_in_transaction_session_timeout = '10min'; set lock_timeout = '10min'
"""
# Whatever the role's own search path is.
_SEARCH_PATH = "select set_config('search_path', %s, false)"

_MIGRATION_LOCK = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
_MAY_CREATE = """
select
    current_user as role,
    current_database() as database,
    asked.schema is not null as is_there,
    coalesce(
        has_schema_privilege(asked.schema, 'create') and has_schema_privilege(asked.schema, 'usage'),
        has_database_privilege(current_database(), 'create')
    ) as may
from (select to_regnamespace(quote_ident(%s)) as schema) as asked
"""
_CREATE_SCHEMA = SQL("create schema {}")
# Revisions before 0005 create functions that name public, which 0005 sets right: PostgreSQL must not try them before.
_TRUST_BODIES = "set local check_function_bodies = off"
_FIRST_OF_OTHERS = "0005_accounts"
# Both tables, since a copy that somebody has made of the referrals is no account.
_KNOWN_SCHEMAS = """
select place.nspname
from pg_namespace as place
inner join pg_class as versions on place.oid = versions.relnamespace
inner join pg_class as referrals on place.oid = referrals.relnamespace
inner join pg_attribute as source on referrals.oid = source.attrelid
where
    versions.relname = 'partner_center_alembic_version'
    and referrals.relname = 'partner_center_referrals' and referrals.relkind = 'r'
    and source.attname = 'source_conn_id'
order by place.nspname
"""

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
def connect(within: int | None = None) -> Iterator[psycopg.Connection[Any]]:
    """Open the connection ``partner_center_db`` (times in UTC); commits at the end, rolls back on an error.

    Args:
        within: seconds after which a server that does not answer counts as away; the connection's own connect_timeout
            wins.

    Raises:
        ConfigurationError: there is no such connection.
        WarehouseUnavailable, WarehouseError: see `translated_errors`.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    try:
        hook = PostgresHook(WAREHOUSE_CONNECTION_ID)
        if within is not None:
            hook = PostgresHook(connection=_hurried(hook.connection, within))
        with translated_errors(), _session(hook) as connection:
            yield connection
    except AirflowNotFoundException as err:
        raise ConfigurationError(
            f"The connection {WAREHOUSE_CONNECTION_ID} does not exist, so there is no database to load into. Create it "
            "(type Postgres) under Admin > Connections."
        ) from err


def _hurried(connection: Any, within: int) -> Any:
    hurried = copy.deepcopy(connection)
    hurried.extra = json.dumps({"connect_timeout": within, **connection.extra_dejson})
    return hurried


_account: ContextVar[Account] = ContextVar("account", default=accounts.DEFAULT)


@contextlib.contextmanager
def tables_of(account: Account) -> Iterator[None]:
    """Let every connection that is opened meanwhile see the tables of one account, and no others."""
    token = _account.set(account)
    try:
        yield
    finally:
        _account.reset(token)


def _session(hook: Any) -> psycopg.Connection[Any]:
    connection: psycopg.Connection[Any] = hook.get_conn()
    connection.execute(_SESSION)
    connection.execute(_SEARCH_PATH, (_account.get().schema,))
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
    with connection.cursor(row_factory=dict_row) as cursor:
        for statement in statements(sql):
            cursor.execute(statement, parameters)
        return cursor.fetchone() or {}


def statements(sql: str) -> list[str]:
    """Return the statements of a text, each ended by a semicolon."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    return PostgresHook.split_sql_string(sql)


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
    """Bring the account's schema to the newest revision, or check that it is there.

    Args:
        migrations: folder of alembic's scripts.
        auto_migrate: False only checks.

    Raises:
        SchemaBehind: the schema is behind and `auto_migrate` is off.
        ConfigurationError: the schema is of newer code than this, or may not be made.
    """
    current, newest = revisions(migrations)
    if current == newest:
        return
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    account = _account.get()
    config = Config()
    config.set_main_option("script_location", str(migrations))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise ConfigurationError(
            f"The warehouse's schema {account.schema} is at revision {current}, which this code does not know: newer "
            "code brought it there. Deploy that code again, or go back with its own: alembic downgrade."
        )
    if not auto_migrate:
        by_hand = "make migrate (or: alembic upgrade head)" if account.is_default else _by_hand(account)
        raise SchemaBehind(
            f"The warehouse's schema {account.schema} is at revision {current or 'none'}, this code needs {head}, and "
            f"{AUTO_MIGRATE_VARIABLE} is false. Run: {by_hand}, then clear this task."
        )
    log.info("Bringing the warehouse's schema %s from revision %s to %s.", account.schema, current or "none", head)
    _upgrade(config)


def _by_hand(account: Account) -> str:
    return f"alembic -x account={account.connection_id} upgrade head"


@contextlib.contextmanager
def migrating(*, upward: bool = True) -> Iterator[Any]:
    """Open a SQLAlchemy connection for alembic: one transaction, alone, in the account's schema.

    Args:
        upward: whether tables may be made, and the schema where it is missing.

    Raises:
        ConfigurationError: the schema is missing or closed to us, and an administrator has to open it.
        ConfigurationError: another account would be left at a revision that knows the default account alone.
    """
    account = _account.get()
    makes = upward and not account.is_default
    with engine().begin() as connection:
        driver = connection.connection.driver_connection
        driver.execute(_MIGRATION_LOCK, (account.lock("partner_center_migrations"),))
        if makes:
            _make_schema(driver, account)
        yield connection
        if makes:
            _refuse_a_part(driver, account)


def _make_schema(connection: psycopg.Connection[Any], account: Account) -> None:
    """Make the schema of another account than the default one, whose public is there already."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_MAY_CREATE, (account.schema,)).fetchone() or {}
        if not found["may"]:
            remedy = (
                "grant usage, create on schema {} to {}" if found["is_there"] else "create schema {} authorization {}"
            )
            statement = SQL(remedy).format(Identifier(account.schema), Identifier(found["role"])).as_string(connection)
            raise ConfigurationError(
                f"The user of the connection {WAREHOUSE_CONNECTION_ID} may not make tables in the schema "
                f"{account.schema}, where those of the account {account.connection_id} stand; nothing was made. Have "
                f"an administrator run in the database {found['database']}: {statement}; then clear this task, or "
                "wait for the next run."
            )
        if not found["is_there"]:
            cursor.execute(_CREATE_SCHEMA.format(Identifier(account.schema)))
        cursor.execute(_TRUST_BODIES)


def _refuse_a_part(connection: psycopg.Connection[Any], account: Account) -> None:
    revision = _revision(connection)
    if revision is None or revision < _FIRST_OF_OTHERS:
        raise ConfigurationError(
            f"Revision {revision or 'none'} knows the default account alone: nothing of it was made in the schema "
            f"{account.schema}. Run: {_by_hand(account)}."
        )


def migrated_together() -> list[Account]:
    """Return the accounts that `alembic upgrade head` is for: those listed, and those that have tables.

    Raises:
        ConfigurationError: see `accounts.listed`.
    """
    found = accounts.listed(os.environ)
    with connect() as connection:
        schemas = [row[0] for row in connection.execute(_KNOWN_SCHEMAS)]
    there = [Account(schema) for schema in schemas if accounts.is_valid(schema)]
    return [*found, *(account for account in there if account not in found)]


def engine() -> Any:
    """Return a SQLAlchemy engine on the connection ``partner_center_db``, for alembic, in the account's schema."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    # The hook's own way to connect, so that every extra of the connection works as it does for the tasks.
    hook = PostgresHook(WAREHOUSE_CONNECTION_ID)
    return create_engine("postgresql+psycopg://", creator=lambda: _told(_session(hook)), poolclass=NullPool)


def _told(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Pass on what a migration warns of."""

    def tell(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            log.warning("%s", redact(notice.message_primary or ""))

    connection.add_notice_handler(tell)
    return connection


def _upgrade(config: Any) -> None:
    from alembic import command
    from sqlalchemy.exc import DBAPIError

    with translated_errors():
        try:
            with migrating() as connection:
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
