"""Health and metrics, over a real warehouse, Airflow's own app and metadata, and the simulator."""

import json
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import connection_to
from tests.support.metadata import set_run
from tests.support.monitored import documented
from tests.support.pages import OWN, ROOT
from tests.support.sign_in import sign_in

HEALTH, METRICS = f"{ROOT}/healthz", f"{ROOT}/metrics"
AWAY = '{"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "password": "the secret word"}'
RUN = """
insert into partner_center_sync_runs
    (run_id, mode, direction, statuses, dry_run, state, reason, started_at, finished_at)
values (%s, %s, 'Incoming', '{New}', %s, %s, %s, now() - %s::interval, now() - %s::interval)
"""


@pytest.fixture
def nobody(client_of, variables, simulator, warehouse):
    """A browser without a log-in; the warehouse has no tables yet, and nobody is signed in to Partner Center."""
    return client_of()


@pytest.fixture
def migrated(nobody, warehouse):
    """The warehouse with its tables, into which runs are written as the sync would have."""
    from partner_center import warehouse as ours
    from tests.support.environment import ROOT as HERE

    ours.ensure_schema(HERE / "include" / "migrations", auto_migrate=True)

    def add(state, ago, reason=None, mode="incremental", *, dry_run=False, run_id=None):
        named = run_id or f"{state} {ago} {mode} {dry_run}"
        with warehouse.connect() as connection:
            connection.execute(RUN, (named, mode, dry_run, state, reason, f"{ago} seconds", f"{ago} seconds"))

    return add


def ask(client, query=""):
    answer = client.get(f"{HEALTH}{query}", headers={"accept": "*/*"})
    body = answer.json()
    assert list(body) == ["partner_center_enabled", "status", "last_success_at", "reason"]
    assert answer.headers["content-type"] == "application/json"
    assert (answer.status_code, body["reason"] == "") == (
        200 if body["status"] in {"ok", "disabled"} else 503,
        body["status"] == "ok",
    )
    return body


def status(client, query=""):
    return ask(client, query)["status"]


# Each status


def test_off_by_default(nobody, simulator):
    found = ask(nobody)
    assert found == {
        "partner_center_enabled": False,
        "status": "disabled",
        "last_success_at": None,
        "reason": "The sync is switched off.",
    }
    assert simulator.control.requests() == []


def test_nobody_is_signed_in(nobody, flag_on, simulator):
    found = ask(nobody)
    assert (found["status"], found["partner_center_enabled"]) == ("sign_in_required", True)
    assert simulator.control.requests() == []


def test_no_run_yet(nobody, signed_in, flag_on):
    found = ask(nobody)
    assert (found["status"], found["last_success_at"]) == ("stale", None)
    assert found["reason"].startswith("No run has succeeded yet.")


def test_tables_without_a_run(nobody, migrated, signed_in, flag_on):
    assert ask(nobody)["reason"].startswith("No run has succeeded yet.")


def test_ok_after_a_run(nobody, run_sync, warehouse):
    run = run_sync()
    found = ask(nobody)
    ended = f"{warehouse.run(run.run_id)['finished_at']:%Y-%m-%dT%H:%M:%SZ}"
    assert found == {"partner_center_enabled": True, "status": "ok", "last_success_at": ended, "reason": ""}


@pytest.mark.parametrize(
    ("interval", "ago", "expected"),
    [("", 1790, "ok"), ("", 1810, "stale"), ("60", 170, "ok"), ("60", 190, "stale")],
)
@pytest.mark.usefixtures("signed_in", "flag_on")
def test_three_intervals(nobody, migrated, monkeypatch, interval, ago, expected):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_SYNC_INTERVAL", interval)
    migrated("success", ago)
    assert status(nobody) == expected
    assert ask(nobody)["last_success_at"] is not None


def test_a_run_that_failed(nobody, migrated, signed_in, flag_on):
    migrated("success", 60)
    migrated("failed", 10, "The secret reason of max@partner.example and id-4711.")
    found = ask(nobody)
    assert (found["status"], found["reason"]) == (
        "failing",
        "The last run failed. The runs' page in Airflow says why.",
    )
    assert found["last_success_at"] is not None
    migrated("success", 1)
    assert status(nobody) == "ok"


def test_the_reason_is_for_people_who_are_logged_in(nobody, migrated, signed_in, flag_on):
    from partner_center.accounts import DEFAULT
    from partner_center.ui.health import health

    migrated("failed", 10, "The API is away.")
    assert health(DEFAULT).detail == "The API is away."


def test_the_last_run_was_skipped_for_want_of_a_sign_in(nobody, migrated, signed_in, flag_on):
    migrated("success", 60)
    migrated("skipped", -5, "sign_in_required: The sign-in has expired. [refresh_expired]")
    assert status(nobody) == "sign_in_required"


def test_who_has_signed_in_since_the_skipped_run_has_done_it(nobody, migrated, signed_in, flag_on):
    migrated("success", 90)
    migrated("skipped", 30, "sign_in_required: The sign-in has expired. [refresh_expired]")
    assert status(nobody) == "ok"


def test_a_sign_in_that_ended_by_itself(nobody, migrated, signed_in, flag_on, monkeypatch):
    from datetime import timedelta

    migrated("success", 90)
    monkeypatch.setattr("partner_center.auth.SIGN_IN_LASTS", timedelta(seconds=-10))
    assert status(nobody) == "sign_in_required"


def test_a_token_that_was_handed_in_needs_no_person(nobody, migrated, flag_on, monkeypatch):
    handed_in = json.dumps({"conn_type": "generic", "password": "a refresh token"})
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT_REFRESH_TOKEN", handed_in)
    assert status(nobody) == "stale"


@pytest.mark.parametrize(
    ("state", "more"),
    [
        ("failed", {"dry_run": True}),
        ("failed", {"mode": "replay"}),
        ("skipped", {"reason": "The sync is switched off: no call was made."}),
        ("running", {}),
    ],
)
def test_runs_that_say_nothing_about_the_sync(nobody, migrated, signed_in, flag_on, state, more):
    migrated("success", 60)
    migrated(state, 10, **more)
    assert status(nobody) == "ok"


def test_a_success_of_another_kind_is_none(nobody, migrated, signed_in, flag_on):
    migrated("success", 60, dry_run=True)
    migrated("success", 60, mode="replay")
    assert status(nobody) == "stale"


def test_a_run_that_airflow_tries_again_has_not_failed_yet(client_of, nobody, migrated, signed_in, flag_on, known_dags):
    answer = client_of("ann").post(f"{ROOT}/api/v1/referrals/sync", headers=OWN)
    run_id = answer.json()["dag_run_id"]
    migrated("success", 60)
    migrated("failed", 10, "The API is away.", run_id=run_id)
    assert status(nobody) == "ok"
    set_run(run_id, "failed", {})
    assert status(nobody) == "failing"


# What cannot be read


def test_a_warehouse_that_is_away(nobody, signed_in, flag_on, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", AWAY)
    found = ask(nobody)
    assert (found["status"], found["reason"]) == ("failing", "The warehouse cannot be read.")


def test_a_warehouse_that_does_not_answer_takes_seconds(nobody, signed_in, flag_on, monkeypatch):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        away = {"conn_type": "postgres", "host": "127.0.0.1", "port": deaf.getsockname()[1]}
        monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", json.dumps(away))
        begun = time.monotonic()
        assert status(nobody) == "failing"
        assert time.monotonic() - begun < 10


def test_a_lock_in_the_warehouse_takes_seconds(nobody, migrated, signed_in, flag_on, warehouse):
    with warehouse.connect() as other, other.transaction():
        other.execute("lock table partner_center_sync_runs")
        begun = time.monotonic()
        assert status(nobody) == "failing"
        assert time.monotonic() - begun < 6
    assert status(nobody) == "stale"


def test_no_warehouse_at_all(nobody, signed_in, flag_on, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_PARTNER_CENTER_DB")
    assert status(nobody) == "failing"


def test_a_flag_that_cannot_be_read(nobody, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "perhaps")
    found = ask(nobody)
    assert (found["status"], found["partner_center_enabled"]) == ("failing", False)
    assert found["reason"].startswith("The feature flag could not be read")


@pytest.mark.parametrize("name", ["HUNTER_PARTNER_CENTER_SYNC_INTERVAL", "AIRFLOW_CONN_PARTNER_CENTER_DEFAULT"])
def test_a_setting_that_is_wrong(nobody, signed_in, flag_on, monkeypatch, name):
    monkeypatch.setenv(name, '{"conn_type": "partner_center"}')
    found = ask(nobody)
    assert (found["status"], found["partner_center_enabled"]) == ("failing", True)
    assert found["reason"].startswith("A setting of the sync is wrong")


def test_a_sign_in_that_cannot_be_read(nobody, flag_on):
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import update

    Variable.set("partner_center_token_cache", "{}")
    with create_session() as session:
        session.execute(update(Variable).values({"val": "gAAAA of another key"}))
    assert status(nobody) == "failing"


def test_an_error_of_ours_is_no_500(nobody, monkeypatch):
    def broken(_):
        raise RuntimeError("the secret word")

    monkeypatch.setattr("partner_center.airflow_store.sync_enabled", broken)
    found = ask(nobody)
    assert (found["status"], "secret" in str(found)) == ("failing", False)


# Which one wins


def test_what_wins(nobody, migrated, simulator, monkeypatch):
    with monkeypatch.context() as off:
        off.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", AWAY)
        assert status(nobody) == "disabled"
        off.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "true")
        assert status(nobody) == "failing"
    migrated("success", 7200)
    assert ask(nobody)["last_success_at"] is not None
    migrated("failed", 3600, "The API is away.")
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "true")
    assert status(nobody) == "sign_in_required"
    sign_in(simulator)
    assert status(nobody) == "failing"
    migrated("success", 1900)
    assert status(nobody) == "stale"
    migrated("success", 5)
    assert status(nobody) == "ok"


# Other accounts


def test_each_account_has_its_own(nobody, signed_in, flag_on, simulator, monkeypatch):
    query = "?connection=partner_center_north"
    assert nobody.get(f"{HEALTH}{query}").status_code == 404
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CONNECTIONS", "partner_center_north")
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_NORTH", json.dumps(connection_to(simulator)))
    assert (status(nobody), status(nobody, query)) == ("stale", "sign_in_required")
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED__NORTH", "false")
    assert (status(nobody), status(nobody, query)) == ("stale", "disabled")
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CONNECTIONS", "No Such Id")
    assert (status(nobody), status(nobody, query)) == ("stale", "failing")


# Metrics


def metrics(client, query=""):
    answer = client.get(f"{METRICS}{query}", headers={"accept": "*/*"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.name.startswith("partner_center_")
        assert family.documentation.endswith(".")
        for sample in family.samples:
            labels = dict(sample.labels)
            connection = labels.pop("connection")
            assert connection == (query.removeprefix("?connection=") or "partner_center_default")
            found[(sample.name.removeprefix("partner_center_"), *labels.values())] = sample.value
    return found


@pytest.fixture
def ann_reads(nobody, client_of):
    """Somebody who may read the DAG, no more."""
    return client_of("vic", "VIEWER")


def test_metrics_before_anything_was_there(ann_reads, simulator):
    assert metrics(ann_reads) == {
        ("enabled",): 0,
        ("health", "disabled"): 1,
        ("health", "failing"): 0,
        ("health", "ok"): 0,
        ("health", "sign_in_required"): 0,
        ("health", "stale"): 0,
        ("signed_in",): 0,
        ("sync_interval_seconds",): 600,
        ("warehouse_up",): 1,
    }
    assert simulator.control.requests() == []


def test_metrics_after_a_run(ann_reads, run_sync, warehouse):
    run = run_sync()
    warehouse.execute("insert into partner_center_quarantine (run_id, reason, raw) values ('r', 'no_id', '{}')")
    warehouse.execute(
        "update partner_center_referrals set missing_since = now() where referral_id = "
        "(select min(referral_id) from partner_center_referrals)"
    )
    found = metrics(ann_reads)
    assert (found["enabled",], found["signed_in",], found["health", "ok"], found["warehouse_up",]) == (1, 1, 1, 1)
    counts = {key[1]: value for key, value in found.items() if key[0] == "last_run_referrals"}
    expected = {name: run.counts[name] for name in counts if name != "vanished"}
    assert {name: value for name, value in counts.items() if name != "vanished"} == expected
    assert set(counts) == set(run.counts) - {"mode", "skipped"} | {"vanished"}
    skipped = {key[1]: value for key, value in found.items() if key[0] == "last_run_skipped_referrals"}
    assert skipped == run.counts["skipped"]
    stored = warehouse.rows(
        "select referral_type, lower(status) as status, count(*) as n from partner_center_referrals "
        "group by referral_type, status"
    )
    assert {key[1:]: value for key, value in found.items() if key[0] == "referrals"} == {
        (row["referral_type"], row["status"]): row["n"] for row in stored
    }
    assert found["referrals_missing",] == 1
    assert found["quarantine_open_rows", "no_id"] == 1
    assert abs(found["quarantine_oldest_timestamp_seconds", "no_id"] - time.time()) < 100
    assert found["last_run_succeeded",] == 1
    assert found["watermark_timestamp_seconds",] == warehouse.run(run.run_id)["watermark"].timestamp()
    assert {f"partner_center_{name}" for name, *_ in found} == set(documented("The Prometheus route"))
    assert found["runs_last_24_hours", "success"] == 1
    assert found["runs_last_24_hours", "failed"] == 0
    assert 0 < found["last_run_duration_seconds",] < 100
    assert abs(found["last_success_timestamp_seconds",] - time.time()) < 100
    assert abs(found["sign_in_end_timestamp_seconds",] - time.time() - 90 * 86400) < 100


def test_metrics_of_a_warehouse_that_is_away(ann_reads, signed_in, flag_on, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", AWAY)
    found = metrics(ann_reads)
    assert (found["warehouse_up",], found["signed_in",], found["health", "failing"]) == (0, 1, 1)


def test_metrics_are_not_public(nobody):
    assert nobody.get(METRICS).status_code == 401


def test_nothing_secret_in_either(nobody, ann_reads, migrated, simulator, signed_in, flag_on):
    migrated("failed", 5, "max@partner.example and id-4711")
    shown = nobody.get(HEALTH).text + ann_reads.get(METRICS).text
    tokens = simulator.control._state.tokens
    secrets = {*tokens.access, *tokens.refresh, "partner.example", "id-4711", simulator.tenant, simulator.client_id}
    assert [secret for secret in secrets if secret in shown] == []
