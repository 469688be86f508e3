"""Referrals put straight into the warehouse, for tests of what is read from there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg.types.json import Jsonb

from tests.support.warehouse import Warehouse

INSERT = """
insert into partner_center_referrals (
    referral_id, referral_type, link_status, name, customer_name, customer_country, status, domain, deal_value,
    currency, created_at, updated_at, expires_at, missing_since, direction, raw_data, content_hash, mapping_version,
    read_at, first_synced_at, first_run_id, synced_at, last_run_id
)
values (
    %(referral_id)s, %(referral_type)s, %(link_status)s, %(name)s, %(customer_name)s, %(customer_country)s, %(status)s,
    %(domain)s, %(deal_value)s, %(currency)s, %(created_at)s, %(updated_at)s, %(expires_at)s, %(missing_since)s,
    'Incoming', %(raw_data)s, '\\x00', 1, now(), now(), 'r', now(), 'r'
)
"""
EMPTY: dict[str, Any] = dict.fromkeys(
    (
        *("name", "customer_name", "customer_country", "domain", "deal_value", "currency"),
        *("created_at", "expires_at", "missing_since"),
    )
)
USUAL = {"referral_type": "co-sell", "link_status": "unlinked", "status": "New", "updated_at": "2026-11-01T00:00:00Z"}


def store(warehouse: Warehouse, *rows: dict[str, Any]) -> None:
    """Insert referrals, each told by what differs from a usual one; without an id, they are numbered."""
    store_all(warehouse, rows)


def store_all(warehouse: Warehouse, rows: Iterable[dict[str, Any]]) -> None:
    """Insert any number of referrals."""
    told = (
        {**EMPTY, **USUAL, "referral_id": f"id-{number}", "raw_data": {}, **row} for number, row in enumerate(rows, 1)
    )
    with warehouse.connect() as connection, connection.cursor() as cursor:
        cursor.executemany(INSERT, [{**row, "raw_data": Jsonb(row["raw_data"])} for row in told])
