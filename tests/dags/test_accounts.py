"""Runs that end early, sweeps that cannot be right, too many bad rows, the quarantine's way back, and what is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.runs import Runner
from tests.support.warehouse import Warehouse

FULL = {"mode": "full"}
REPLAY = "partner_center_replay_quarantine"


@pytest.fixture
def replay(run_sync: Runner) -> Runner:
    return run_sync.of(REPLAY)


def set_variable(name: str, value: str) -> None:
    from airflow.models.variable import Variable

    Variable.set(f"partner_center_{name}", value)


def rows_of(simulator: Any) -> list[dict[str, Any]]:
    return [row.value() for row in simulator.control._state.store.rows]


# --- every run has its row -------------------------------------------------------------------------------------------


def test_a_run_that_is_switched_off_has_its_row(
    run_sync: Runner, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_sync().state == "success"
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "false")
    run = run_sync({"dry_run": True})
    assert run.closed == "skipped"
    row = warehouse.run(run.run_id)
    assert (row["state"], row["mode"], row["dry_run"]) == ("skipped", "incremental", True)
    assert "switched off" in row["reason"]
    assert row["started_at"] <= row["finished_at"]
    # What is skipped moves nothing.
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "true")
    assert run_sync().counts["mode"] == "incremental"


def test_switched_off_without_a_warehouse_nothing_fails_and_nothing_is_made(
    sync_runner: Runner, warehouse: Warehouse, simulator: Any, variables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sync_runner()
    assert (run.state, set(run.task_states.values()), run.closed) == ("success", {"skipped"}, "skipped")
    assert warehouse.value("select count(*) from pg_tables where schemaname = 'public'") == 0
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", "postgres://nobody:word@127.0.0.1:1/none")
    run = sync_runner()
    assert (run.state, set(run.task_states.values()), run.closed) == ("success", {"skipped"}, "skipped")
    assert simulator.control.requests() == []


def test_a_run_without_a_sign_in_has_its_row_even_the_very_first(
    sync_runner: Runner, warehouse: Warehouse, simulator: Any, variables: None, flag_on: None
) -> None:
    run = sync_runner()
    assert set(run.task_states.values()) == {"skipped"}
    row = warehouse.run(run.run_id)
    assert row["state"] == "skipped"
    assert row["reason"].startswith("sign_in_required: ")
    assert "not_signed_in" in row["reason"]


def test_a_run_that_gets_no_token_has_its_row(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, short_waits: list[float]
) -> None:
    from tests.support.sign_in import sign_in

    run_sync()
    simulator.control.settings(expires_in=200)
    sign_in(simulator)
    simulator.control.faults([{"kind": "status", "status": 503, "on": "token"}])
    run = run_sync()
    assert run.failed_in("acquire_token")
    row = warehouse.run(run.run_id)
    assert row["state"] == "failed"
    assert "login is unavailable" in row["reason"]


def test_a_refused_request_is_kept_by_its_ids(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, short_waits: list[float]
) -> None:
    simulator.control.faults([{"kind": "status", "status": 503, "times": 1}])
    run = run_sync()
    (failed,) = warehouse.run(run.run_id)["failed_requests"]
    (line,) = [call for call in simulator.control.requests() if call["status"] == 503]
    assert failed["answer"] == "503"
    assert line["client_request_id"] in failed["ids"]
    assert line["request_id"] in failed["ids"]
    simulator.control.faults([{"kind": "403-role"}])
    run = run_sync()
    row = warehouse.run(run.run_id)
    assert (row["state"], row["failed_requests"][0]["answer"]) == ("failed", "403")


def test_a_run_whose_worker_was_lost_is_closed_by_its_teardown(run_sync: Runner, warehouse: Warehouse) -> None:
    run = run_sync()
    warehouse.execute("update partner_center_sync_runs set state = 'running', finished_at = null")
    again = run_sync.clear(run, "close_run")
    assert again.xcoms["close_run"] == "failed"
    row = warehouse.run(run.run_id)
    assert row["state"] == "failed"
    assert "its worker was lost" in row["reason"]
    assert row["finished_at"] is not None


# --- sweeps ----------------------------------------------------------------------------------------------------------


def test_a_sweep_that_cannot_be_right_changes_nothing_and_says_why(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    run_sync()
    rows = rows_of(simulator)
    stored = set(warehouse.referrals())
    left = [row for row in rows if row["id"] not in sorted(stored)[:18]]
    renamed = next(row for row in left if row["id"] in stored)
    simulator.control.seed(referrals=left)
    simulator.control.patch(renamed["id"], {"name": "renamed"})
    before, history = warehouse.versions(), warehouse.history()
    run = run_sync(FULL)
    assert run.failed_in("load_referrals")
    for words in (
        "18 of 88 stored referrals are gone",
        "Nothing was changed",
        "partner_center_sweep_max_vanished_share",
    ):
        assert words in run.log
    assert (warehouse.versions(), warehouse.history()) == (before, history)
    assert warehouse.run(run.run_id)["state"] == "failed"
    # Changes still come in by the incremental runs.
    assert run_sync().counts["mode"] == "incremental"
    assert warehouse.referrals()[renamed["id"]]["name"] == "renamed"
    # And a person can say that it is right.
    set_variable("sweep_max_vanished_share", "0.25")
    healed = run_sync.clear(run, "load_referrals", downstream=True)
    assert healed.state == "success"
    assert warehouse.run(run.run_id)["vanished"] == 18
    missing = {key for key, row in warehouse.referrals().items() if row["missing_since"]}
    assert missing == set(sorted(stored)[:18])


def test_a_plausible_sweep_notes_what_vanished_and_what_came_back(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    run_sync()
    gone = next(row for row in rows_of(simulator) if row["id"] in warehouse.referrals())
    simulator.control.delete(gone["id"])
    run = run_sync(FULL)
    assert (run.counts["eligible"], warehouse.run(run.run_id)["vanished"]) == (87, 1)
    assert warehouse.referrals()[gone["id"]]["missing_since"] is not None
    simulator.control.upsert(gone)
    run_sync(FULL)
    assert warehouse.referrals()[gone["id"]]["missing_since"] is None


# --- quarantine ------------------------------------------------------------------------------------------------------


def bad_rows(simulator: Any, number: int) -> None:
    rows = rows_of(simulator)
    simulator.control.seed(referrals=[*rows, *({**rows[0], "id": None, "name": f"bad {n}"} for n in range(number))])


def test_too_many_bad_rows_fail_the_run_after_the_good_ones_are_stored(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    bad_rows(simulator, 3)
    assert run_sync().state == "success"
    warehouse.execute("truncate partner_center_referrals")
    set_variable("quarantine_max_rows", "2")
    set_variable("quarantine_max_share", "0.01")
    run = run_sync(FULL)
    assert run.failed_in("verify_counts")
    assert "3 of 253 rows could not be stored" in run.log
    assert warehouse.value("select count(*) from partner_center_referrals") == 88
    row = warehouse.run(run.run_id)
    assert (row["state"], row["persisted"], row["quarantined"]) == ("failed", 88, 3)
    set_variable("quarantine_max_share", "0.05")
    assert run_sync.clear(run, "verify_counts").state == "success"


def test_a_limit_that_is_no_number_is_told(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    bad_rows(simulator, 1)
    set_variable("quarantine_max_rows", "many")
    run = run_sync()
    assert run.failed_in("verify_counts")
    assert "partner_center_quarantine_max_rows is no number" in warehouse.run(run.run_id)["reason"]


def test_the_quarantine_is_replayed_after_a_fix(
    run_sync: Runner, replay: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    bad_rows(simulator, 3)
    run_sync()
    simulator.control.clear_requests()
    # Nothing is mended yet: nothing changes.
    run = replay()
    assert run.state == "success", run.log[-3000:]
    assert (run.counts["fetched"], run.counts["quarantined"], run.counts["eligible"]) == (3, 3, 0)
    assert warehouse.value("select count(*) from partner_center_quarantine") == 3
    # A person gives two of them their id; one of these is of no eligible status.
    for number, status in ((0, "New"), (1, "Closed")):
        warehouse.rows(
            "update partner_center_quarantine set raw = jsonb_set(jsonb_set(raw::jsonb, '{id}', to_jsonb(%s::text)), "
            "'{status}', to_jsonb(%s::text))::text where raw like %s returning 1",
            (f"mended {number}", status, f"%bad {number}%"),
        )
    run = replay({"reason": "no_id"})
    counts = run.counts
    assert (counts["mode"], counts["fetched"], counts["quarantined"], counts["eligible"]) == ("replay", 3, 1, 1)
    assert (counts["skipped"], counts["inserted"]) == ({"status": 1}, 1)
    assert warehouse.referrals()["mended 0"]["name"] == "bad 0"
    assert warehouse.value("select reason from partner_center_skipped where referral_id = 'mended 1'") == "status"
    (open_row,) = warehouse.rows("select * from partner_center_quarantine where replayed_at is null")
    assert "bad 2" in open_row["raw"]
    assert warehouse.run(run.run_id)["state"] == "success"
    assert simulator.control.requests() == []
    # Only what is open is taken, and the sync's watermark is not disturbed.
    assert replay().counts["fetched"] == 1
    assert replay({"reason": "another"}).counts["fetched"] == 0
    assert run_sync().counts["mode"] == "incremental"


def test_a_replayed_row_replaces_nothing_that_was_read_since(
    run_sync: Runner, replay: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    row = next(row for row in rows_of(simulator) if row["status"] == "New" and row["direction"] == "Incoming")
    undated = row | {"updatedDateTime": None}
    bad = json.dumps(undated | {"name": "old"}).replace("{", '{"broken": "\\u0000",', 1)
    simulator.control.seed_raw([bad])
    run_sync()
    simulator.control.seed(referrals=[undated | {"name": "new"}])
    run_sync(FULL)
    warehouse.execute("update partner_center_quarantine set raw = replace(raw, '\\u0000', 'x')")
    assert replay().counts["unchanged"] == 1
    assert warehouse.referrals()[row["id"]]["name"] == "new"


# --- drift, and what is kept -----------------------------------------------------------------------------------------


def test_what_the_api_sends_beyond_its_documentation_is_stored_and_counted(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    rows = rows_of(simulator)
    odd = [row | {"newField": 1, "substatus": "Paused"} for row in rows[:3]]
    simulator.control.seed(referrals=[*odd, *rows[3:]])
    run = run_sync()
    assert run.state == "success"
    assert "2 field(s) or value(s) that are not documented" in run.log
    found = warehouse.rows("select * from partner_center_contract_drift order by kind")
    assert [(row["kind"], row["path"], row["value"], row["seen"]) for row in found] == [
        ("field", "", "newField", 3),
        ("value", "substatus", "Paused", 3),
    ]
    assert found[0]["example_referral_id"] in {row["id"] for row in odd}
    again = run_sync(FULL)
    found = warehouse.rows("select * from partner_center_contract_drift")
    assert {(row["seen"], row["last_run_id"]) for row in found} == {(3, again.run_id)}


def test_history_and_quarantine_are_kept_for_ever_or_as_long_as_is_set(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    bad_rows(simulator, 1)
    run_sync()
    renamed = next(row for row in rows_of(simulator) if row["id"] in warehouse.referrals())
    simulator.control.patch(renamed["id"], {"name": "renamed"})
    run_sync()
    warehouse.execute(
        """
        update partner_center_referral_history set changed_at = changed_at - interval '100 days';
        update partner_center_referral_versions
        set superseded_at = superseded_at - interval '100 days', synced_at = synced_at - interval '100 days';
        update partner_center_quarantine set received_at = received_at - interval '100 days'
        """
    )
    kept = "select (select count(*) from partner_center_referral_history) || ' ' || "
    kept += "(select count(*) from partner_center_referral_versions) || ' ' || "
    kept += "(select count(*) from partner_center_quarantine where received_at < now() - interval '1 day')"
    simulator.control.seed("disaster")
    run_sync(FULL)
    assert warehouse.value(kept) == "1 1 1"
    set_variable("history_days", "90")
    set_variable("quarantine_days", "101")
    run_sync(FULL)
    assert warehouse.value(kept) == "0 0 1"
    set_variable("quarantine_days", "30")
    run_sync(FULL)
    assert warehouse.value(kept) == "0 0 0"


def test_staging_is_kept_as_long_as_is_set(run_sync: Runner, warehouse: Warehouse) -> None:
    first = run_sync()
    warehouse.execute(
        """
        update partner_center_sync_runs
        set started_at = started_at - interval '3 days', read_at = read_at - interval '3 days'
        """
    )
    staged = "select count(*) from partner_center_staged where run_id = %s"
    run_sync(FULL)
    assert warehouse.value(staged, (first.run_id,)) == 250
    set_variable("staging_days", "2")
    run_sync(FULL)
    assert warehouse.value(staged, (first.run_id,)) == 0
