"""What the pages read of the warehouse: files of include/sql/ui, in sessions that can only read, and not for long."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from airflow.configuration import conf
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composable, Composed
from psycopg.types.json import set_json_loads

from partner_center import warehouse
from partner_center.accounts import Account
from partner_center.errors import ConfigurationError, SchemaBehind
from partner_center.ui.storable import from_json, is_storable

Row = dict[str, Any]

# Workers beside the session's own took longer than it alone: what takes time is to bring pages into the cache, not to
# look at them (docs/adr/0011).
_LIMITS = """
set default_transaction_read_only = on; set statement_timeout = '{}s'; set max_parallel_workers_per_gather = 0
"""
PAGE_SECONDS, EXPORT_SECONDS = 10, 600
_CONNECT_SECONDS = 5
_BATCH = 2_000
_OF_ANOTHER_REVISION = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction)
_NO_TABLES = (
    "The tables are not there yet, or are those of an older version, so there is nothing to show. The next run of the "
    "sync makes them: start it under DAGs, or run: make migrate."
)


class Reader:
    """Runs the files by name.

    In a file, ``%(name)s`` is a bound parameter, and ``{name}`` a part of the statement that code composes, such as an
    order: never of what a person typed. By a text that PostgreSQL cannot hold, nothing is found.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(self, name: str, parameters: Mapping[str, Any] | None = None, **parts: Composable) -> list[Row]:
        """Return all rows of a file's statement, by column name."""
        if not _are_storable(parameters):
            return []
        with _translated_errors(), self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement(name, parts), parameters or {}).fetchall()

    def row(self, name: str, parameters: Mapping[str, Any] | None = None, **parts: Composable) -> Row | None:
        """Return the first row, None where there is none."""
        found = self.rows(name, parameters, **parts)
        return found[0] if found else None

    def stream(self, name: str, parameters: Mapping[str, Any], **parts: Composable) -> Generator[Row, None, None]:
        """Yield the rows as they come, whatever their number."""
        if not _are_storable(parameters):
            return
        with (
            _translated_errors(),
            self._connection.cursor("partner_center_page", row_factory=dict_row) as cursor,
        ):
            cursor.itersize = _BATCH
            yield from cursor.execute(statement(name, parts), parameters)


@contextlib.contextmanager
def reading(account: Account, seconds: int = PAGE_SECONDS) -> Iterator[Reader]:
    """Open a session that sees an account's tables, and can only read.

    Args:
        account: whose tables.
        seconds: a statement that takes longer is ended.

    Raises:
        ConfigurationError, WarehouseUnavailable, WarehouseError: as `warehouse.connect`.
    """
    with contextlib.ExitStack() as opened:
        # The account matters while the session opens, and a stream ends in another thread's context than it began.
        with warehouse.tables_of(account):
            connection = opened.enter_context(warehouse.connect(_CONNECT_SECONDS))
        set_json_loads(from_json, connection)
        connection.execute(_LIMITS.format(seconds))
        connection.commit()
        # A plan for any parameters would ask row by row what is asked for, and fold the words of a search for each.
        connection.prepare_threshold = None
        yield Reader(connection)


def _are_storable(parameters: Mapping[str, Any] | None) -> bool:
    return all(is_storable(value) for value in (parameters or {}).values() if isinstance(value, str))


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        with warehouse.translated_errors():
            yield
    except warehouse.WarehouseError as err:
        if isinstance(err.__context__, _OF_ANOTHER_REVISION):
            raise SchemaBehind(_NO_TABLES) from None
        raise


def part(name: str) -> SQL:
    """Return a file's statement, to be a part of another one."""
    return SQL(_text(name))


def statement(name: str, parts: Mapping[str, Composable] | None = None) -> SQL | Composed:
    """Return the statement of a file, put together with its parts."""
    return SQL(_text(name)).format(**parts) if parts else SQL(_text(name))


@cache
def _text(name: str) -> Any:
    return (_folder() / f"{name}.sql").read_text("utf-8")


def _folder() -> Path:
    """Return include/sql/ui, which stands beside the folder of the plugins.

    Raises:
        ConfigurationError: it does not.
    """
    beside = [Path(conf.get("core", "plugins_folder")).resolve().parent, Path(__file__).resolve().parents[3]]
    for place in beside:
        if (place / "include" / "sql" / "ui").is_dir():
            return place / "include" / "sql" / "ui"
    raise ConfigurationError(
        f"The folder include/sql/ui is missing beside {beside[0]}, so no page can ask the warehouse. Put the package's "
        "include/ where its plugins/ is, on the API server, too."
    )
