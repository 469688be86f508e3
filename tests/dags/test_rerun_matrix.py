"""Clearing and re-running under the real scheduler, and task processes that are killed: always the same, exact table.

Each of the six tasks, alone or with what follows, of a run that succeeded or that failed there. One Airflow and one
warehouse for the whole file, so the tests follow each other in its order. test_rerun.py does the same in process, with
more ways to fail; this file shows which tasks Airflow itself clears, what it makes of the run, and its own retries.

By default three of the six tasks are tried here; PARTNER_CENTER_RERUNS=all tries each of them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tests.conftest import connection_to
from tests.support.commands import contract_environment, run_sign_in_script
from tests.support.environment import migrated_metadata
from tests.support.runs import DAG_ID, TASKS
from tests.support.standalone import Airflow, standalone
from tests.support.warehouse import Warehouse

if TYPE_CHECKING:
    from simulator import Simulator
    from tests.support.postgres import Server

# The fixtures of this module stand once, in one worker.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("rerun_matrix")]

FLAG = "partner_center_enabled"
TEARDOWN = "close_run"
SOME = ("fetch_pages", "load_referrals", "verify_counts")
TRIED = TASKS if os.environ.get("PARTNER_CENTER_RERUNS") == "all" else SOME
# One scheduled run, at the beginning.
SELDOM = {"HUNTER_PARTNER_CENTER_SYNC_INTERVAL": "86400"}


class Sync:
    """The sync under a real Airflow, with what it reads and what it writes."""

    def __init__(self, airflow: Airflow, simulator: Simulator, warehouse: Warehouse) -> None:
        self.airflow = airflow
        self.control = simulator.control
        self.warehouse = warehouse
        self._open = [row["id"] for row in self.sent().values() if row["status"] in {"New", "Active"}]
        self.stored = frozenset(self._open)
        self.gone: set[str] = set()

    def start(self, conf: dict[str, Any] | None = None) -> str:
        """Start a run."""
        return self.airflow.trigger(DAG_ID, conf)

    def wait(self, run_id: str) -> str:
        """Wait for a run's end."""
        return self.airflow.wait(DAG_ID, run_id)

    def clear(self, run_id: str, *tasks: str, downstream: bool = False, only_failed: bool = False) -> set[str]:
        """Clear tasks and return which ones Airflow cleared; the run is not waited for."""
        return self.airflow.clear(DAG_ID, run_id, *tasks, downstream=downstream, only_failed=only_failed)

    def states(self, run_id: str) -> dict[str, str]:
        """Return the state of each of the six tasks; the teardown never fails, and may find nothing to do."""
        found = {task_id: task["state"] for task_id, task in self.airflow.tasks(DAG_ID, run_id).items()}
        assert found.pop(TEARDOWN) in {"success", "skipped"}
        return found

    def counts(self, run_id: str) -> dict[str, Any]:
        """Return what verify_counts has left in XCom."""
        return dict(self.airflow.counts(DAG_ID, run_id, "verify_counts"))

    def sent(self) -> dict[str, dict[str, Any]]:
        """Return what Partner Center has, by id."""
        rows = [row.value() for row in self.control._state.store.rows]
        return {row["id"]: row for row in rows}

    def take_open(self) -> str:
        """Return the id of an open referral that no test has changed so far."""
        return self._open.pop()

    def renamed(self, name: str) -> str:
        """Rename an open referral in Partner Center; return its id."""
        return str(self.control.patch(self.take_open(), {"name": name})["id"])

    def kept(self) -> tuple[list[Any], list[Any]]:
        """Return the history and the superseded versions; neither holds the same change twice."""
        history = self.warehouse.history()
        versions = self.warehouse.rows(
            "select referral_id, synced_at, superseded_at, superseded_by from partner_center_referral_versions "
            "order by referral_id, superseded_at"
        )
        assert len(history) == len(set(history))
        # A version ends once: what was superseded a second time would stand here with the same beginning.
        assert len(versions) == len({(row["referral_id"], row["synced_at"]) for row in versions})
        return history, versions

    def whole(self) -> tuple[dict[str, str], list[Any], list[Any]]:
        """Return all that a needless re-run must leave untouched, down to the rows' own transactions."""
        return (self.warehouse.versions(), *self.kept())

    def assert_exact(self) -> None:
        """The table holds each open referral once and as Partner Center has it now."""
        rows = self.warehouse.rows(
            "select referral_id, raw_data, name, status, missing_since from partner_center_referrals"
        )
        sent = self.sent()
        assert {row["referral_id"] for row in rows} == self.stored
        assert {row["referral_id"] for row in rows if row["missing_since"]} == self.gone
        present = [row for row in rows if row["referral_id"] not in self.gone]
        assert {row["referral_id"]: row["raw_data"] for row in present} == {
            row["referral_id"]: sent[row["referral_id"]] for row in present
        }
        assert all((row["name"], row["status"]) == (row["raw_data"]["name"], row["raw_data"]["status"]) for row in rows)

    def row(self, run_id: str) -> dict[str, Any]:
        """Return the run's row without the times that each try writes anew."""
        unsteady = ("finished_at", "read_at", "staged_at", "loaded_at")
        return {name: value for name, value in self.warehouse.run(run_id).items() if name not in unsteady}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Partner Center of this file alone: the one of the worker is emptied for each test."""
    from simulator import Simulator

    with Simulator("disaster") as running:
        yield running
        # The request of the process that is killed hangs on while the next try reads.
        assert {found["rule"] for found in running.control.violations()} <= {"parallel"}


@pytest.fixture(scope="module")
def warehouse(postgres18: Server) -> Iterator[Warehouse]:
    name = postgres18.make_database()
    yield Warehouse(postgres18.dsn(name))
    postgres18.drop_database(name)


@pytest.fixture(scope="module")
def sync(tmp_path_factory: pytest.TempPathFactory, warehouse: Warehouse, simulator: Simulator) -> Iterator[Sync]:
    """Airflow with somebody signed in, the flag on, and the 88 open referrals loaded by the scheduler's own run."""
    home = tmp_path_factory.mktemp("airflow")
    migrated_metadata(home)
    connections = {
        "partner_center_db": json.loads(warehouse.connection),
        "partner_center_default": connection_to(simulator),
    }
    environment = contract_environment(home, f"sqlite:///{home}/airflow.db", connections)
    signed_in = run_sign_in_script(environment, simulator, "approve", home)
    assert signed_in.code == 0, signed_in.out
    with standalone({**environment, **SELDOM}, home) as airflow:
        airflow.call("POST", "variables", {"key": FLAG, "value": "true"})
        sync = Sync(airflow, simulator, warehouse)
        airflow.call("PATCH", f"dags/{DAG_ID}", {"is_paused": False})
        assert sync.wait(first_run(airflow)) == "success"
        sync.assert_exact()
        assert sync.kept() == ([], [])
        yield sync


def first_run(airflow: Airflow) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if runs := airflow.call("GET", f"dags/{DAG_ID}/dagRuns")["dag_runs"]:
            return str(runs[0]["dag_run_id"])
        time.sleep(0.2)
    raise AssertionError("the scheduler made no run")


def and_what_follows(task_id: str) -> set[str]:
    return {*TASKS[TASKS.index(task_id) :], TEARDOWN}


@pytest.fixture(scope="module")
def succeeded(sync: Sync) -> str:
    """A run that closed a referral, renamed one, and found one to be gone."""
    sync.control.patch(sync.take_open(), {"status": "Closed", "substatus": "Won"})
    sync.renamed("renamed")
    sync.gone.add(sync.take_open())
    sync.control.delete(*sync.gone)
    run_id = sync.start({"mode": "full"})
    assert sync.wait(run_id) == "success"
    counts = sync.counts(run_id)
    assert (counts["mode"], counts["updated"], counts["closed"]) == ("full", 2, 1)
    assert {field for _, field, _, _ in sync.kept()[0]} == {"status", "substatus", "name", "missing_since"}
    assert len(sync.kept()[1]) == 3
    sync.assert_exact()
    return run_id


# From the last to the first: a later task finds what the earlier ones left, as it did in the run.
@pytest.mark.parametrize("task_id", TRIED[::-1])
@pytest.mark.parametrize("downstream", [True, False], ids=["with what follows", "alone"])
def test_a_cleared_task_of_a_run_that_succeeded_changes_nothing(
    sync: Sync, succeeded: str, task_id: str, downstream: bool
) -> None:
    before = sync.whole(), sync.counts(succeeded), sync.row(succeeded)
    # The teardown is one of those that follow; alone means alone.
    expected = and_what_follows(task_id) if downstream else {task_id}
    assert sync.clear(succeeded, task_id, downstream=downstream) == expected
    assert sync.wait(succeeded) == "success"
    assert set(sync.states(succeeded).values()) == {"success"}
    assert (sync.whole(), sync.counts(succeeded), sync.row(succeeded)) == before
    if task_id == "fetch_pages" and not downstream:
        # It has emptied the staging. What follows, cleared later, makes it what it was.
        sync.clear(succeeded, "filter_referrals", downstream=True)
        assert sync.wait(succeeded) == "success"
        assert (sync.whole(), sync.counts(succeeded), sync.row(succeeded)) == before


class Obstacle:
    """Makes one task fail at once, without a retry, and no earlier one."""

    COLUMNS: ClassVar = {
        "filter_referrals": ("partner_center_staged", "outcome"),
        "extract_domains": ("partner_center_staged_domains", "link_status"),
        # The load comes to it when referrals, versions and history are written.
        "load_referrals": ("partner_center_companies", "names"),
        "verify_counts": ("partner_center_sync_runs", "persisted"),
    }

    def __init__(self, sync: Sync, task_id: str) -> None:
        self._sync = sync
        self._task_id = task_id

    def __enter__(self) -> None:
        if self._task_id == "acquire_token":
            self._flag("perhaps")
        elif self._task_id == "fetch_pages":
            self._sync.control.faults([{"kind": "403-role"}])
        else:
            table, column = self.COLUMNS[self._task_id]
            self._sync.warehouse.execute(f"alter table {table} rename column {column} to away")

    def __exit__(self, *_: object) -> None:
        if self._task_id == "acquire_token":
            self._flag("true")
        elif self._task_id == "fetch_pages":
            self._sync.control.faults([])
        else:
            table, column = self.COLUMNS[self._task_id]
            self._sync.warehouse.execute(f"alter table {table} rename column away to {column}")

    def _flag(self, value: str) -> None:
        self._sync.airflow.call("PATCH", f"variables/{FLAG}", {"key": FLAG, "value": value})


def stopped_at(task_id: str) -> dict[str, str]:
    place = TASKS.index(task_id)
    return (
        dict.fromkeys(TASKS[:place], "success")
        | {task_id: "failed"}
        | dict.fromkeys(TASKS[place + 1 :], "upstream_failed")
    )


class Change:
    """One referral is renamed in Partner Center: the table is as before or has that one change, and nothing between."""

    def __init__(self, sync: Sync, name: str) -> None:
        self._sync = sync
        self._before = sync.whole()
        self._id = sync.renamed(name)

    def assert_not_loaded(self) -> None:
        """No row, no history and no version was touched."""
        assert self._sync.whole() == self._before

    def assert_loaded_once(self) -> None:
        """The table is what Partner Center has; one row was written, with one entry of history and one version."""
        self._sync.assert_exact()
        rows, history, versions = self._sync.whole()
        was, history_was, versions_were = self._before
        assert {key for key, version in rows.items() if was[key] != version} == {self._id}
        assert [entry[:2] for entry in history if entry not in history_was] == [(self._id, "name")]
        assert [entry["referral_id"] for entry in versions if entry not in versions_were] == [self._id]


def failed_run(sync: Sync, task_id: str, change: Change) -> str:
    """Run into an obstacle; it is gone at the end."""
    with Obstacle(sync, task_id):
        run_id = sync.start()
        assert sync.wait(run_id) == "failed"
    assert sync.states(run_id) == stopped_at(task_id)
    row = sync.row(run_id)
    assert (row["state"], bool(row["reason"])) == ("failed", True)
    # Only verify_counts fails after the load, which is one transaction.
    if task_id == "verify_counts":
        change.assert_loaded_once()
    else:
        change.assert_not_loaded()
    return run_id


def assert_success(sync: Sync, run_id: str, change: Change) -> None:
    assert sync.wait(run_id) == "success"
    assert set(sync.states(run_id).values()) == {"success"}
    row, counts = sync.row(run_id), sync.counts(run_id)
    assert (row["state"], row["reason"]) == ("success", None)
    assert (counts["inserted"], counts["updated"]) == (0, 1)
    assert {name: row[name] for name in counts} == counts
    change.assert_loaded_once()


@pytest.mark.parametrize("task_id", TRIED)
def test_a_run_that_failed_is_healed_by_clearing_that_task_with_what_follows(sync: Sync, task_id: str) -> None:
    change = Change(sync, f"renamed before {task_id} failed")
    run_id = failed_run(sync, task_id, change)
    assert sync.clear(run_id, task_id, downstream=True) == and_what_follows(task_id)
    assert_success(sync, run_id, change)


@pytest.mark.parametrize("task_id", TRIED)
def test_a_run_that_failed_stays_so_until_all_that_did_not_run_is_cleared(sync: Sync, task_id: str) -> None:
    change = Change(sync, f"renamed before {task_id} failed and was cleared alone")
    run_id = failed_run(sync, task_id, change)
    assert sync.clear(run_id, task_id) == {task_id}
    if rest := set(TASKS[TASKS.index(task_id) + 1 :]):
        # The task succeeds, but Airflow leaves those after it as upstream_failed, and so the run as failed.
        assert sync.wait(run_id) == "failed"
        assert sync.states(run_id) == {**stopped_at(task_id), task_id: "success"}
        assert sync.row(run_id)["state"] == "failed"
        if task_id == "load_referrals":
            change.assert_loaded_once()
        else:
            change.assert_not_loaded()
        # "Clear only failed tasks" takes the rest, and leaves the teardown, which has not failed.
        assert sync.clear(run_id, only_failed=True) == rest
    # Nothing but the teardown comes after verify_counts: there, alone is enough.
    assert_success(sync, run_id, change)


def test_a_task_killed_while_it_reads_leaves_a_row_that_says_so_and_a_clear_makes_the_run_whole(sync: Sync) -> None:
    change = Change(sync, "renamed before the read that was killed")
    sync.control.faults([{"kind": "latency", "seconds": 30, "times": 1}])
    run_id = sync.start()
    task = sync.airflow.wait_for_task(DAG_ID, run_id, "fetch_pages", "running")
    until(lambda: sync.control.state()["faults"][0]["times"] == 0)  # it has asked, and waits for the answer
    sync.airflow.process(task).kill()
    # Airflow would try again; until then the run is one that is running.
    sync.airflow.wait_for_task(DAG_ID, run_id, "fetch_pages", "up_for_retry")
    assert sync.row(run_id)["state"] == "running"
    # A person ends it instead. No code of fetch_pages ever told what happened; the teardown does.
    sync.airflow.call("PATCH", f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/fetch_pages", {"new_state": "failed"})
    assert sync.wait(run_id) == "failed"
    assert sync.states(run_id) == stopped_at("fetch_pages")
    assert sync.row(run_id)["state"] == "failed"
    assert "its worker was lost" in sync.row(run_id)["reason"]
    change.assert_not_loaded()
    assert sync.clear(run_id, "fetch_pages", downstream=True) == and_what_follows("fetch_pages")
    assert sync.wait(run_id) == "success"
    assert (sync.row(run_id)["state"], sync.row(run_id)["reason"]) == ("success", None)
    change.assert_loaded_once()


def test_a_task_killed_within_the_load_is_made_whole_by_airflows_own_retry(sync: Sync) -> None:
    change = Change(sync, "renamed before the load that was killed")
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with sync.warehouse.connect() as connection, connection.transaction():
        # The load comes to the history when it has written the referrals, and has to wait there.
        connection.execute("lock table partner_center_referral_history in share mode")
        run_id = sync.start()
        task = sync.airflow.wait_for_task(DAG_ID, run_id, "load_referrals", "running")
        until(lambda: sync.warehouse.value(waiting) == 1)
        sync.airflow.process(task).kill()
        sync.airflow.wait_for_task(DAG_ID, run_id, "load_referrals", "up_for_retry")
    # The statement that waited has gone through by now or does so soon; nobody is left to commit it.
    until(lambda: sync.warehouse.value("select count(*) from pg_stat_activity where datname = current_database()") == 1)
    change.assert_not_loaded()
    assert sync.row(run_id)["state"] == "running"
    assert sync.wait(run_id) == "success"  # the retry's delay is 30 s
    tries = {task_id: found["try_number"] for task_id, found in sync.airflow.tasks(DAG_ID, run_id).items()}
    assert tries == dict.fromkeys((*TASKS, TEARDOWN), 1) | {"load_referrals": 2}
    assert (sync.row(run_id)["state"], sync.row(run_id)["reason"]) == ("success", None)
    assert sync.counts(run_id)["updated"] == 1
    change.assert_loaded_once()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
