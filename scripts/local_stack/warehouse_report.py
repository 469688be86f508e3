"""What the demo reads back from the warehouse after a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from .plan import WAREHOUSE, Plan
from .steps import StackError

ROWS_SHOWN = 10
RUNS = "select * from partner_center_sync_runs order by started_at desc nulls last limit %s"
ROWS = """
select customer_name, name, referral_type, status, domain, deal_value, currency, updated_at
from partner_center_referrals
order by (lower(status) in ('new', 'active')) desc, updated_at desc nulls last, referral_id
limit %s
"""
TOTAL = "select count(*) as n from partner_center_referrals"


def connect(plan: Plan) -> psycopg.Connection[dict[str, Any]]:
    """Connect to the warehouse that the plan's connection names, in Airflow's JSON or URI form.

    Raises:
        StackError: it does not answer, or does not let us in.
    """
    text = plan.environment[WAREHOUSE].strip()
    try:
        if text.startswith("{"):
            return psycopg.connect(**arguments(json.loads(text)), row_factory=dict_row, connect_timeout=10)
        uri = text.replace("postgres://", "postgresql://", 1)
        return psycopg.connect(uri, row_factory=dict_row, connect_timeout=10)
    except (psycopg.Error, ValueError) as err:
        message = f"The warehouse that {WAREHOUSE} names cannot be used: {str(err).strip()}"
        remedy = f"Correct {WAREHOUSE}, or unset it to get the embedded Postgres."
        raise StackError(message, remedy) from err


def arguments(named: dict[str, Any]) -> dict[str, Any]:
    """Return libpq's arguments for an Airflow connection."""
    names = {"host": "host", "port": "port", "login": "user", "password": "password", "schema": "dbname"}
    extra = named.get("extra") or {}
    extra = json.loads(extra) if isinstance(extra, str) else extra
    tls = {name: value for name, value in extra.items() if name.startswith("ssl")}
    return {ours: named[theirs] for theirs, ours in names.items() if named.get(theirs)} | tls


def newest_run(plan: Plan) -> Mapping[str, Any] | None:
    """Return the newest entry in the table of runs; nothing before the first run has made it."""
    with connect(plan) as server:
        try:
            return server.execute(RUNS, (1,)).fetchone()
        except psycopg.errors.UndefinedTable:
            return None


def first_rows(plan: Plan) -> tuple[Sequence[Mapping[str, Any]], int]:
    """Return some referrals to look at, eligible ones first, and how many there are."""
    with connect(plan) as server:
        total = server.execute(TOTAL).fetchone()
        return server.execute(ROWS, (ROWS_SHOWN,)).fetchall(), int((total or {"n": 0})["n"])
