"""A database of one test, as the tests look into it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

CONNECTION = "AIRFLOW_CONN_PARTNER_CENTER_DB"


class Warehouse:
    """Reads and prepares what the sync writes.

    Attributes: dsn (a postgresql:// URL), connection (Airflow's JSON form of it).
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        parts = urlsplit(dsn)
        self.connection = json.dumps(
            {
                "conn_type": "postgres",
                "host": parts.hostname,
                "port": parts.port,
                "login": parts.username,
                "password": parts.password,
                "schema": parts.path.lstrip("/"),
            }
        )

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """Open a connection that commits each statement and gives rows as dictionaries, times in UTC."""
        return psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row, options="-c timezone=UTC")

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        with self.connect() as connection:
            return connection.execute(sql, parameters or None).fetchall()

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the one value of a query; None when it gives no row."""
        rows = self.rows(sql, parameters)
        return next(iter(rows[0].values())) if rows else None

    def execute(self, sql: str) -> None:
        """Run statements, several if need be."""
        with self.connect() as connection:
            connection.execute(sql)

    def versions(self, table: str = "partner_center_referrals", key: str = "referral_id") -> dict[str, str]:
        """Return the transaction that wrote each row: the same again means that the row was not touched."""
        rows = self.rows(f"select {key} as key, xmin::text || ' ' || ctid::text as version from {table}")
        return {row["key"]: row["version"] for row in rows}

    def referrals(self) -> dict[str, dict[str, Any]]:
        """Return the referrals by id, without what differs from run to run."""
        rows = self.rows("select * from partner_center_referrals")
        unsteady = ("synced_at", "last_run_id", "first_synced_at", "first_run_id", "read_at")
        return {row["referral_id"]: {k: v for k, v in row.items() if k not in unsteady} for row in rows}

    def history(self) -> list[tuple[str, str, str | None, str | None]]:
        """Return the history as (id, field, old, new), sorted."""
        rows = self.rows("select referral_id, field, old_value, new_value from partner_center_referral_history")
        found: list[tuple[Any, ...]] = [tuple(row.values()) for row in rows]
        return sorted(found, key=lambda entry: tuple(each or "" for each in entry))

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run's entry in the table of runs."""
        (row,) = self.rows("select * from partner_center_sync_runs where run_id = %s", (run_id,))
        return row
