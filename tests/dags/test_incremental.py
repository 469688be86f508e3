"""What a run reads: changes since the watermark by filter or by order, everything now and then; and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.runs import Run, Runner
from tests.support.warehouse import Warehouse

FULL = {"mode": "full"}
API = "/v1.0/engagements/referrals"


def asked(simulator: Any) -> list[dict[str, list[str]]]:
    """The queries that the API was asked since the last call."""
    found = [parse_qs(call["query"]) for call in simulator.control.requests() if call["path"] == API]
    simulator.control.clear_requests()
    return found


def old_stock(simulator: Any) -> list[dict[str, Any]]:
    """Make all of the data set's referrals older than any overlap; return the eligible ones."""
    rows = [row.value() for row in simulator.control._state.store.rows]
    for number, row in enumerate(rows):
        row["updatedDateTime"] = f"2026-10-{1 + number % 28:02}T10:{number % 60:02}:00Z"
    rows[0]["updatedDateTime"] = "2026-11-01T00:00:00Z"
    simulator.control.seed(referrals=rows)
    return [row for row in rows if row["status"] in ("New", "Active") and row["direction"] == "Incoming"]


def three_changes(simulator: Any, stock: list[dict[str, Any]]) -> None:
    """One closes, one is renamed, one is new."""
    simulator.control.patch(stock[0]["id"], {"status": "Closed", "substatus": "Won"})
    simulator.control.patch(stock[1]["id"], {"name": "renamed"})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.0000000Z")
    simulator.control.upsert(stock[2] | {"id": "brand new", "createdDateTime": now, "updatedDateTime": now})


def assert_the_three(warehouse: Warehouse, stock: list[dict[str, Any]], run: Run) -> None:
    rows = warehouse.referrals()
    assert (rows[stock[0]["id"]]["status"], rows[stock[0]["id"]]["substatus"]) == ("Closed", "Won")
    assert rows[stock[1]["id"]]["name"] == "renamed"
    assert "brand new" in rows
    assert warehouse.history() == sorted(
        [
            (stock[0]["id"], "status", stock[0]["status"], "Closed"),
            (stock[0]["id"], "substatus", stock[0]["substatus"], "Won"),
            (stock[1]["id"], "name", stock[1]["name"], "renamed"),
        ]
    )
    counts = run.counts
    assert (counts["closed"], counts["updated"], counts["inserted"]) == (1, 2, 1)


def test_three_changes_by_filter_cost_one_call_and_their_rows(
    run_sync: Runner, simulator: Any, warehouse: Warehouse
) -> None:
    stock = old_stock(simulator)
    assert run_sync().counts["fetched"] == 250
    three_changes(simulator, stock)
    asked(simulator)
    run = run_sync()
    (query,) = asked(simulator)
    since = warehouse.run(run.run_id)["read_since"]
    assert query["$filter"] == [f"updatedDateTime ge {since:%Y-%m-%dT%H:%M:%SZ}"]
    assert run.counts["mode"] == "incremental"
    assert run.counts["fetched"] == 4  # and the one row of the overlap
    assert_the_three(warehouse, stock, run)


def test_three_changes_by_order_cost_one_page_and_the_way_is_remembered(
    run_sync: Runner, simulator: Any, warehouse: Warehouse
) -> None:
    simulator.control.settings(updated_filter=False)
    stock = old_stock(simulator)
    assert run_sync().counts["fetched"] == 250
    three_changes(simulator, stock)
    asked(simulator)
    run = run_sync()
    refused, page = asked(simulator)
    assert "updatedDateTime ge" in refused["$filter"][0]
    assert (page["$orderby"], page["$top"]) == (["updatedDateTime desc"], ["100"])
    assert run.counts["fetched"] == 100
    assert_the_three(warehouse, stock, run)
    row = warehouse.run(run.run_id)
    assert (row["strategy"], row["failed_requests"][0]["answer"]) == ("orderby", "400")
    # The next run knows.
    run = run_sync()
    (page,) = asked(simulator)
    assert page["$orderby"] == ["updatedDateTime desc"]
    assert (run.counts["mode"], run.counts["fetched"], run.counts["updated"]) == ("incremental", 100, 0)
    # After a full read the filter gets another chance: the API may have learnt it.
    run_sync(FULL)
    simulator.control.settings(updated_filter=True)
    asked(simulator)
    assert warehouse.run(run_sync().run_id)["strategy"] == "filter"
    assert len(asked(simulator)) == 1


def test_a_steady_run_writes_nothing(run_sync: Runner, simulator: Any, warehouse: Warehouse) -> None:
    old_stock(simulator)
    run_sync()
    before = warehouse.versions()
    asked(simulator)
    run = run_sync()
    assert len(asked(simulator)) == 1
    assert (run.counts["fetched"], run.counts["unchanged"] + sum(run.counts["skipped"].values())) == (1, 1)
    assert warehouse.versions() == before
    row = warehouse.run(run.run_id)
    assert (row["mode"], row["strategy"], row["pages"], row["state"]) == ("incremental", "filter", 1, "success")
    assert row["watermark"] == row["watermark_before"] == datetime(2026, 11, 1, tzinfo=UTC)
    assert row["read_since"] == row["watermark"] - timedelta(minutes=15)
    assert row["account"] == "s***@partner.example"


def test_a_row_that_appears_late_is_within_the_overlap(
    run_sync: Runner, simulator: Any, warehouse: Warehouse, variables: None
) -> None:
    from airflow.models.variable import Variable

    stock = old_stock(simulator)
    run_sync()
    late = stock[1] | {"id": "late", "updatedDateTime": "2026-10-31T23:46:00Z"}
    too_late = stock[1] | {"id": "too late", "updatedDateTime": "2026-10-31T22:46:00Z"}
    simulator.control.upsert(late)
    simulator.control.upsert(too_late)
    run_sync()
    assert {"late"} <= set(warehouse.referrals())
    assert "too late" not in warehouse.referrals()
    Variable.set("partner_center_overlap_minutes", "90")
    run_sync()
    assert "too late" in warehouse.referrals()


def test_what_is_updated_during_a_read_does_not_move_the_watermark_past_others(
    run_sync: Runner, simulator: Any, warehouse: Warehouse
) -> None:
    stock = old_stock(simulator)
    ahead = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    simulator.control.upsert(stock[0] | {"id": "ahead of its time", "updatedDateTime": ahead})
    simulator.control.upsert(stock[0] | {"id": "for ever", "updatedDateTime": "9999-12-31T23:59:59Z"})
    run = run_sync()
    assert warehouse.run(run.run_id)["watermark"] == datetime(2026, 11, 1, tzinfo=UTC)


def test_a_run_that_was_not_verified_moves_no_watermark(run_sync: Runner, simulator: Any, warehouse: Warehouse) -> None:
    stock = old_stock(simulator)
    run_sync()
    simulator.control.patch(stock[1]["id"], {"name": "renamed"})
    warehouse.execute(
        """
        create function swallow() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger swallow before update on partner_center_referrals for each row execute function swallow()
        """
    )
    assert run_sync().failed_in("verify_counts")
    warehouse.execute("drop trigger swallow on partner_center_referrals")
    healed = run_sync()
    assert (healed.counts["mode"], healed.counts["updated"]) == ("incremental", 1)
    assert warehouse.referrals()[stock[1]["id"]]["name"] == "renamed"


@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ({"statuses": ["New"]}, "no run of these settings"),
        ({"direction": "Outgoing"}, "no run of these settings"),
        ({"mode": "full"}, "asked for"),
    ],
)
def test_other_settings_begin_with_a_full_read_and_do_not_disturb_the_usual_ones(
    run_sync: Runner, simulator: Any, warehouse: Warehouse, conf: dict[str, Any], why: str
) -> None:
    run_sync()
    other = run_sync(conf)
    assert other.counts["mode"] == "full"
    assert why in warehouse.run(other.run_id)["mode_reason"]
    assert run_sync().counts["mode"] == "incremental"
    simulator.control.clear_violations()  # all directions are read where two are stored


def test_statuses_in_another_order_and_case_are_the_same_settings(run_sync: Runner) -> None:
    run_sync()
    assert run_sync({"statuses": ["active", "NEW"]}).counts["mode"] == "incremental"


def test_another_account_begins_with_a_full_read(run_sync: Runner, simulator: Any, warehouse: Warehouse) -> None:
    from tests.support.sign_in import sign_in

    run_sync()
    from airflow.models.variable import Variable

    Variable.delete("partner_center_token_cache")
    simulator.control.settings(oid="0b5e55ed-0000-4000-8000-000000000002", upn="other@partner.example")
    sign_in(simulator)
    run = run_sync()
    assert run.counts["mode"] == "full"
    assert warehouse.run(run.run_id)["account"] == "o***@partner.example"


def test_a_dry_run_moves_no_watermark_and_is_no_sweep(run_sync: Runner, simulator: Any, warehouse: Warehouse) -> None:
    stock = old_stock(simulator)
    run_sync({"dry_run": True})
    assert run_sync().counts["mode"] == "full"
    simulator.control.patch(stock[1]["id"], {"name": "renamed"})
    assert run_sync({"dry_run": True}).counts["updated"] == 1
    run = run_sync()
    assert (run.counts["mode"], run.counts["updated"]) == ("incremental", 1)


def test_an_emptied_table_is_filled_again(run_sync: Runner, warehouse: Warehouse) -> None:
    run_sync()
    warehouse.execute("truncate partner_center_referrals")
    run = run_sync()
    assert (run.counts["mode"], run.counts["inserted"]) == ("full", 88)
    assert "no referral is stored" in warehouse.run(run.run_id)["mode_reason"]


def test_once_a_day_everything_is_read(run_sync: Runner, warehouse: Warehouse) -> None:
    first = run_sync()
    assert run_sync().counts["mode"] == "incremental"
    warehouse.execute("update partner_center_sync_runs set started_at = started_at - interval '25 hours'")
    run = run_sync()
    assert (run.counts["mode"], run.counts["fetched"]) == ("full", 250)
    assert "daily sweep" in warehouse.run(run.run_id)["mode_reason"]
    assert first.run_id != run.run_id


def test_a_second_try_reads_as_much_as_the_first(run_sync: Runner, simulator: Any, warehouse: Warehouse) -> None:
    stock = old_stock(simulator)
    run_sync()
    three_changes(simulator, stock)
    run = run_sync()
    asked(simulator)
    again = run_sync.clear(run, "fetch_pages", downstream=True)
    assert again.counts == run.counts
    (query,) = asked(simulator)
    assert query["$filter"] == [f"updatedDateTime ge {warehouse.run(run.run_id)['read_since']:%Y-%m-%dT%H:%M:%SZ}"]


def test_verified_counts_travel_with_the_asset_event(run_sync: Runner, warehouse: Warehouse) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def events() -> list[dict[str, Any]]:
        with create_session() as session:
            found = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id.in_(runs))).all()
            return [event.extra for event in found]

    run = run_sync()
    runs = [run.run_id]
    (extra,) = events()
    assert extra.items() >= (run.counts | {"run_id": run.run_id, "dry_run": False}).items()
    warehouse.execute("alter table partner_center_referrals rename column domain to away")
    runs.append(run_sync(FULL).run_id)
    assert len(events()) == 1
