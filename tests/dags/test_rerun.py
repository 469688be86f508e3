"""Clearing and re-running any task, alone or with what follows, ends in the same table as if nothing had happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.runs import TASKS, Run, Runner
from tests.support.sign_in import sign_in
from tests.support.warehouse import Warehouse


def changed_account(simulator: Any) -> None:
    """Close one stored referral and rename another, so that a load has something to update."""
    rows = [row.value() for row in simulator.control._state.store.rows]
    first, second = [row for row in rows if row["status"] == "New"][:2]
    simulator.control.patch(first["id"], {"status": "Closed", "substatus": "Won"})
    simulator.control.patch(second["id"], {"name": "renamed"})


@pytest.fixture
def succeeded(run_sync: Runner, simulator: Any) -> Run:
    """A run that updated two rows of a filled table."""
    assert run_sync().state == "success"
    changed_account(simulator)
    run = run_sync()
    assert (run.state, run.counts["updated"], run.counts["closed"]) == ("success", 2, 1)
    return run


@pytest.mark.parametrize("downstream", [False, True], ids=["alone", "with what follows"])
def test_each_task_of_a_run_that_succeeded(
    run_sync: Runner, succeeded: Run, warehouse: Warehouse, downstream: bool
) -> None:
    rows, history, counts = warehouse.versions(), warehouse.history(), succeeded.counts
    assert len(history) >= 3  # status, substatus and name
    # From the last to the first: a later task finds what the earlier ones left, as it did in the run.
    for task_id in reversed(TASKS):
        again = run_sync.clear(succeeded, task_id, downstream=downstream)
        assert again.state == "success", task_id
        assert warehouse.versions() == rows, task_id
        assert warehouse.history() == history, task_id
        assert again.counts == counts, task_id
    assert warehouse.value("select count(*) from partner_center_quarantine") == 0


# What stands in a task's way, and in no earlier one's: a table or column of another name.
AWAY = {
    "fetch_pages": ("table partner_center_staged_payloads rename to", "partner_center_staged_payloads"),
    "filter_referrals": ("table partner_center_staged rename column", "outcome"),
    "extract_domains": ("table partner_center_staged_domains rename column", "link_status"),
    "load_referrals": ("table partner_center_referral_history rename column", "field"),
    "verify_counts": ("table partner_center_sync_runs rename column", "persisted"),
}


@pytest.mark.parametrize("task_id", AWAY)
def test_of_a_run_that_failed_there(
    run_sync: Runner, simulator: Any, warehouse: Warehouse, short_waits: list[float], task_id: str
) -> None:
    assert run_sync().state == "success"
    changed_account(simulator)
    what, name = AWAY[task_id]
    column = what.endswith("column")
    warehouse.execute(f"alter {what} {name} to away" if column else f"alter {what} away")
    failed = run_sync()
    assert failed.failed_in(task_id)
    assert warehouse.run(failed.run_id)["state"] == "failed"
    warehouse.execute(f"alter {what} away to {name}" if column else f"alter table away rename to {name}")
    healed = run_sync.clear(failed, task_id, downstream=True)
    assert healed.state == "success"
    assert (healed.counts["updated"], healed.counts["closed"]) == (2, 1)
    assert healed.counts["persisted"] == healed.counts["eligible"]
    assert {field for _, field, _, _ in warehouse.history()} == {"status", "substatus", "name"}
    assert warehouse.run(failed.run_id)["state"] == "success"
    # Once healed, it is a run like any other: the task alone changes nothing.
    rows, history = warehouse.versions(), warehouse.history()
    assert run_sync.clear(failed, task_id).state == "success"
    assert (warehouse.versions(), warehouse.history()) == (rows, history)


def test_of_a_run_that_failed_to_get_a_token(
    run_sync: Runner, simulator: Any, warehouse: Warehouse, short_waits: list[float]
) -> None:
    simulator.control.settings(expires_in=200)  # so short that the run has to renew it
    sign_in(simulator)
    simulator.control.faults([{"kind": "status", "status": 503, "on": "token"}])
    failed = run_sync()
    assert failed.failed_in("acquire_token")
    simulator.control.faults([])
    healed = run_sync.clear(failed, "acquire_token", downstream=True)
    assert (healed.state, healed.counts["inserted"], healed.counts["persisted"]) == ("success", 88, 88)


def test_a_cleared_old_run_moves_no_newer_row_back(
    run_sync: Runner, simulator: Any, succeeded: Run, warehouse: Warehouse
) -> None:
    rows = [row.value() for row in simulator.control._state.store.rows]
    changed = next(row for row in rows if row["name"] == "renamed")
    simulator.control.patch(changed["id"], {"name": "renamed again"})
    assert run_sync().counts["updated"] == 1
    before = warehouse.versions()
    again = run_sync.clear(succeeded, "load_referrals", downstream=True)
    assert again.state == "success"
    assert warehouse.versions() == before
    assert warehouse.value("select name from partner_center_referrals where referral_id = %s", (changed["id"],)) == (
        "renamed again"
    )


def test_a_load_of_what_was_staged_anew_but_not_filtered_moves_no_watermark(
    run_sync: Runner, simulator: Any, warehouse: Warehouse
) -> None:
    run = run_sync()
    assert run.state == "success"
    rows = [row.value() for row in simulator.control._state.store.rows]
    earlier, later = [row["id"] for row in rows if row["status"] == "New"][:2]
    now = datetime.now(UTC)
    for referral_id, at in ((earlier, now - timedelta(hours=2)), (later, now - timedelta(seconds=5))):
        changes = {"name": f"renamed {at}", "updatedDateTime": f"{at:%Y-%m-%dT%H:%M:%S}.0000000Z"}
        simulator.control.patch(referral_id, changes)
    before = warehouse.run(run.run_id)["watermark"]
    assert run_sync.clear(run, "fetch_pages").state == "success"
    # Both changes are staged, and neither would be loaded: nothing may say that they were.
    assert run_sync.clear(run, "load_referrals").task_states["load_referrals"] == "failed"
    assert "Clear fetch_pages with everything after it" in warehouse.run(run.run_id)["reason"]
    assert warehouse.run(run.run_id)["watermark"] == before
    assert run_sync().state == "success"
    names = warehouse.rows("select referral_id, name from partner_center_referrals where name like 'renamed %'")
    assert {row["referral_id"] for row in names} == {earlier, later}


@pytest.mark.parametrize("page", ["first", "last"])
def test_a_load_of_a_read_that_broke_off_marks_nothing_as_missing(
    run_sync: Runner, simulator: Any, warehouse: Warehouse, page: str
) -> None:
    from airflow.models.variable import Variable

    Variable.set("partner_center_sweep_max_vanished_share", "1")
    rows = [row.value() for row in simulator.control._state.store.rows]
    one = next(row for row in rows if row["status"] == "New")
    # So many pages that what the last ones hold is a plausible share to have vanished.
    simulator.control.seed(referrals=[one | {"id": f"5a0e2b54-0000-4000-8000-{n:012d}"} for n in range(3000)])
    run = run_sync({"mode": "full"})
    assert run.state == "success"
    before = warehouse.versions()
    simulator.control.faults([{"kind": "403-role", "page": run.xcoms["fetch_pages"]["pages"] if page == "last" else 1}])
    assert run_sync.clear(run, "fetch_pages").task_states["fetch_pages"] == "failed"
    simulator.control.faults([])
    assert run_sync.clear(run, "load_referrals").task_states["load_referrals"] == "failed"
    assert warehouse.versions() == before
