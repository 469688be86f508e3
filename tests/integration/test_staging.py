"""Rows on their way into the staging tables: stored, or quarantined alone, whatever one of them holds."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.environment import ROOT
from tests.support.warehouse import Warehouse

RUN = "manual__2026-11-25T00:00:00+00:00"


@pytest.fixture
def schema(airflow_home: Path, warehouse: Warehouse) -> Warehouse:
    from partner_center.warehouse import ensure_schema

    ensure_schema(ROOT / "include" / "migrations", auto_migrate=True)
    return warehouse


def stage(*pages: list[bytes]) -> Any:
    """Stage pages as fetch_pages does; return the writer with its counts."""
    from partner_center import warehouse
    from partner_center.staging import StagingWriter

    with warehouse.connect() as connection, StagingWriter(connection, RUN) as writer:
        for number, rows in enumerate(pages, 1):
            writer.add(number, rows)
    return writer


def row(number: int, **more: Any) -> bytes:
    return json.dumps({"id": f"id-{number}", "status": "New", "direction": "Incoming"} | more).encode()


def test_pages_arrive_whole_and_in_order(schema: Warehouse) -> None:
    writer = stage([row(1), row(2)], [], [row(3)])
    assert (writer.fetched, writer.quarantined) == (3, 0)
    staged = schema.rows("select row_no, page, referral_id from partner_center_staged order by row_no")
    assert [tuple(each.values()) for each in staged] == [(1, 1, "id-1"), (2, 1, "id-2"), (3, 3, "id-3")]
    assert schema.value("select count(*) from partner_center_staged_payloads") == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"id": "bad", "value": 1e400000}', "refused_by_postgres_22003"),
        (b'{"id": "bad", "value": ' + b"[" * 900 + b"]" * 900 + b"}", None),
        (b'{"id": "bad", "value": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", "nested_too_deep"),
        (b'{"id": "bad", "note": "a\\u0000b"}', "nul_character"),
        (b'{"id": "bad", "note": "\\ud800"}', "lone_surrogate"),
        (b'{"id": "bad", "note": "\xff"}', "invalid_utf8"),
        (b'{"id": "bad",}', "malformed_json"),
        (b'"a text"', "not_an_object"),
        (b'{"id": ""}', "no_id"),
        (b'{"id": "' + b"x" * 300 + b'"}', "id_too_long"),
        (b'{"id": "bad", "note": "' + b"n" * 200_000 + b'"}', None),
    ],
)
def test_one_bad_row_costs_no_other(schema: Warehouse, text: bytes, reason: str | None) -> None:
    writer = stage([row(1), text, row(2)], [row(3)])
    good = 3 if reason else 4
    assert (writer.fetched, writer.quarantined) == (4, 4 - good)
    assert schema.value("select count(*) from partner_center_staged") == good
    assert schema.value("select count(*) from partner_center_staged_payloads") == good
    kept = schema.rows("select run_id, reason, raw from partner_center_quarantine")
    assert [each["reason"] for each in kept] == ([reason] if reason else [])
    if reason and reason != "invalid_utf8":
        assert kept[0]["raw"] == text.decode()


def test_a_page_of_bad_rows_only(schema: Warehouse) -> None:
    writer = stage([b'{"id": "a", "v": 1e400000}', b'{"id": "b", "v": 1e400000}'], [row(1)])
    assert (writer.fetched, writer.quarantined) == (3, 2)
    assert schema.value("select count(*) from partner_center_quarantine") == 2


def test_a_second_try_begins_clean(schema: Warehouse) -> None:
    stage([row(1), b'{"id": ""}'], [row(2)])
    writer = stage([row(3), b'{"id": ""}'])
    assert (writer.fetched, writer.quarantined) == (2, 1)
    assert schema.rows("select referral_id from partner_center_staged") == [{"referral_id": "id-3"}]
    assert schema.value("select count(*) from partner_center_quarantine") == 1


def test_a_run_that_breaks_off_leaves_nothing_that_counts_twice(schema: Warehouse) -> None:
    from partner_center import warehouse
    from partner_center.staging import StagingWriter

    with pytest.raises(KeyboardInterrupt), warehouse.connect() as connection, StagingWriter(connection, RUN) as writer:
        writer.add(1, [row(1)])
        writer.add(2, [row(2)])
        raise KeyboardInterrupt
    stage([row(1)], [row(2)], [row(3)])
    assert schema.value("select count(*) from partner_center_staged") == 3


def test_a_connection_that_the_server_ends_is_worth_another_try(schema: Warehouse) -> None:
    from partner_center import warehouse
    from partner_center.staging import StagingWriter

    with (
        pytest.raises(warehouse.WarehouseUnavailable),
        warehouse.connect() as connection,
        StagingWriter(connection, RUN) as writer,
    ):
        writer.add(1, [row(1)])
        schema.execute(f"select pg_terminate_backend({connection.info.backend_pid})")
        writer.add(2, [row(2)])
        writer.add(3, [row(3)])


def test_the_staging_of_old_runs_is_dropped(schema: Warehouse) -> None:
    partitions = "select count(*) from pg_inherits where inhparent = 'partner_center_staged'::regclass"
    for run_id, age in (("old", "8 days"), ("recent", "6 days"), (RUN, "0 days")):
        schema.execute(
            "insert into partner_center_sync_runs (run_id, mode, direction, statuses, dry_run, state, started_at) "
            f"values ('{run_id}', 'full', 'any', '{{New}}', false, 'success', now() - interval '{age}')"
        )
        schema.execute(f"select partner_center_open_staging('partner_center_staged', '{run_id}')")
    assert schema.value(partitions) == 3
    stage([row(1)])
    assert schema.value(partitions) == 2


def test_memory_does_not_grow_with_the_number_of_pages(schema: Warehouse) -> None:
    def peak(pages: int) -> int:
        from partner_center import warehouse
        from partner_center.staging import StagingWriter

        tracemalloc.start()
        with warehouse.connect() as connection, StagingWriter(connection, RUN) as writer:
            for page in range(pages):
                writer.add(page, [row(page * 50 + number, note="n" * 500) for number in range(50)])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(5)
    assert peak(200) < 1.2 * peak(20)


def test_an_error_of_the_database_does_not_quote_the_row(schema: Warehouse) -> None:
    from partner_center.warehouse import WarehouseError, connect

    with pytest.raises(WarehouseError) as raised, connect() as connection:
        connection.execute("create temporary table t (n integer)")
        with connection.cursor().copy("copy t from stdin") as copy:
            copy.write("ann@contoso.example\n")
    assert "ann@" not in str(raised.value)
    assert raised.value.__suppress_context__
    assert not isinstance(raised.value.__cause__, psycopg.Error)
