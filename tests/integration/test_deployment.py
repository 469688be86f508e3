"""What the scripts of a deployment ask: the warehouse's address, the preflight, the flag, the smoke test's verdicts."""

import subprocess
import threading
import time

import psycopg
import pytest

from partner_center import airflow_store, deployment
from partner_center.accounts import DEFAULT, Account
from partner_center.errors import ConfigurationError
from tests.support.environment import ROOT
from tests.support.metadata import paused, runs_of, set_run

DAG = "partner_center_referral_sync"
ENDED = """
insert into partner_center_sync_runs (
    run_id, mode, direction, statuses, started_at, finished_at, state, dry_run, reason,
    fetched, eligible, inserted, updated, unchanged, persisted
)
values (%s, 'incremental', 'Incoming', '{New}', now(), now(), %s, %s, %s, 250, 88, 88, 0, 0, 88)
"""
MIGRATIONS = ROOT / "include" / "migrations"


@pytest.fixture
def smoke_test(monkeypatch):
    """The module, in a hurry."""
    from partner_center.ui import smoke_test

    monkeypatch.setattr(smoke_test, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(smoke_test, "_DAG_SECONDS", 0.2)
    return smoke_test


@pytest.fixture
def unpaused(known_dags):
    with paused(DAG, is_paused=False):
        yield


@pytest.fixture
def migrated(warehouse):
    from partner_center import warehouse as ours

    ours.ensure_schema(MIGRATIONS, auto_migrate=True)
    return warehouse


def test_the_address_leads_to_the_warehouse(airflow_home, warehouse):
    lines = dict(line.split("=", 1) for line in deployment.warehouse_environment())
    with psycopg.connect(
        host=lines["PGHOST"], port=lines.get("PGPORT"), user=lines["PGUSER"], dbname=lines["PGDATABASE"],
        password=lines.get("PGPASSWORD"),
    ) as connection:  # fmt: skip
        assert warehouse.dsn.endswith(f"/{connection.info.dbname}")


def test_the_preflight_passes_where_only_a_person_is_missing(airflow_home, warehouse, simulator):
    told = []
    assert deployment.preflight(MIGRATIONS, told.append) == 0
    assert any(line.strip().startswith("NOT OK   token_cache") for line in told)


def test_the_preflight_fails_for_what_would_fail_every_run(airflow_home, warehouse, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "")
    told = []
    assert deployment.preflight(MIGRATIONS, told.append) == 1
    assert any(line.strip().startswith("NOT OK   jwt_secret") for line in told)


def test_the_flag_is_set_and_read_back(airflow_home, monkeypatch):
    deployment.switch(is_on=True)
    assert airflow_store.sync_enabled()
    deployment.switch(is_on=False)
    assert not airflow_store.sync_enabled()
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "true")
    with pytest.raises(ConfigurationError, match="AIRFLOW_VAR_PARTNER_CENTER_ENABLED"):
        deployment.switch(is_on=False)


def test_a_dag_that_airflow_does_not_know_fails_the_smoke_test(airflow_home, smoke_test, flag_on):
    with pytest.raises(smoke_test.SmokeTestFailed, match="does not know the DAG"):
        smoke_test.run(Account("partner_center_nowhere"), print)


def test_what_a_person_has_switched_off_or_paused_is_not_tested(known_dags, migrated, smoke_test, monkeypatch):
    told = []
    assert smoke_test.run_all(told.append) == 0
    assert told == ["  default: NOT TESTED. The sync is switched off."]
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "true")
    assert "paused" in smoke_test.run(DEFAULT, print).why
    assert runs_of(DAG) == []


class Scheduler(threading.Thread):
    """In the place of scheduler and tasks: ends the runs that come, one after the other, in the states given."""

    def __init__(self, warehouse, *states):
        super().__init__(daemon=True)
        self.warehouse, self.states = warehouse, states
        self.confs = []

    def run(self):
        for number, state in enumerate(self.states):
            while len(found := runs_of(DAG)) <= number:
                time.sleep(0.05)
            run = found[number]
            self.confs.append(run.conf)
            is_good = state == "success"
            reason = None if is_good else f"sign_in_required: {state} on purpose"
            with self.warehouse.connect() as connection:
                connection.execute(ENDED, (run.run_id, state, "dry_run" in run.conf, reason))
            set_run(run.run_id, "failed" if state == "failed" else "success", {"fetch_pages": state})


def outcome(smoke_test, warehouse, *states):
    told, scheduler = [], Scheduler(warehouse, *states)
    scheduler.start()
    try:
        return smoke_test.run_all(told.append), told, scheduler.confs
    finally:
        scheduler.join(5)


def test_it_runs_dry_and_then_in_earnest_and_counts_the_rows(unpaused, flag_on, migrated, smoke_test):
    status, told, confs = outcome(smoke_test, migrated, "success", "success")
    assert (status, confs) == (0, [{"dry_run": True}, {}])
    assert told == [
        "  default: fetched 250, eligible 88, dry run, would insert 88, updated 0, unchanged 0, persisted 88",
        "  default: fetched 250, eligible 88, inserted 88, updated 0, unchanged 0, persisted 88",
        "  default: 0 referrals in the table",
    ]


def test_without_a_sign_in_it_is_not_tested(unpaused, flag_on, migrated, smoke_test):
    status, told, _ = outcome(smoke_test, migrated, "skipped")
    assert (status, told) == (0, ["  default: NOT TESTED. sign_in_required: skipped on purpose"])


def test_a_run_that_fails_fails_it_and_says_why(unpaused, flag_on, migrated, smoke_test):
    with pytest.raises(smoke_test.SmokeTestFailed, match=r"ended as failed \(failed tasks: fetch_pages\).*on purpose"):
        outcome(smoke_test, migrated, "success", "failed")


def test_a_run_that_does_not_end_fails_it(unpaused, flag_on, migrated, smoke_test, monkeypatch):
    monkeypatch.setattr(smoke_test, "_RUN_SECONDS", 0.3)
    with pytest.raises(smoke_test.SmokeTestFailed, match="has not ended"):
        smoke_test.run(DEFAULT, print)


@pytest.mark.parametrize("arguments", [["flag"], ["smoke", "on"], ["warehouse", "off"], ["nothing"]])
def test_the_command_refuses_what_it_does_not_know(arguments):
    command = [str(ROOT / ".venv/bin/python"), str(ROOT / "scripts/partner_center_deployment.py"), *arguments]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
