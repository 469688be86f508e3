"""The contract's table "Skip or fail", row by row, at a Partner Center that really does these things."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.runs import TASKS, Run, Runner
from tests.support.sign_in import sign_in
from tests.support.warehouse import Warehouse

COLLECTION = "/v1.0/engagements/referrals"
SCRIPT = "scripts/partner_center_device_code_flow.py"
ATTEMPTS = 5
LAST_PAGE = 2


def assert_skipped(run: Run, *needles: str) -> None:
    """Check that a run was skipped as a whole, and is not failed."""
    assert run.task_states == dict.fromkeys(TASKS, "skipped")
    assert run.state == "success"
    for needle in needles:
        assert needle in run.log, run.log[-3000:]


def assert_failed(run: Run, task_id: str, *needles: str) -> None:
    assert run.failed_in(task_id), run
    for needle in needles:
        assert needle in run.log, run.log[-3000:]


def listings(simulator: Any) -> list[dict[str, Any]]:
    return [line for line in simulator.control.requests() if line["path"].startswith("/v1.0/")]


def token_calls(simulator: Any, grant: str = "refresh_token") -> list[dict[str, Any]]:
    return [line for line in simulator.control.requests() if line["grant"] == grant]


def assert_nothing_stored(warehouse: Warehouse) -> None:
    assert warehouse.value("select count(*) from partner_center_referrals") == 0


def assert_all_stored(run: Run, warehouse: Warehouse) -> None:
    assert run.state == "success", run.log[-3000:]
    assert (run.counts["fetched"], run.counts["persisted"]) == (250, 88)
    assert warehouse.value("select count(*) from partner_center_referrals") == 88


# --- flag off --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AIRFLOW_VAR_PARTNER_CENTER_ENABLED": "false"},
        {"AIRFLOW_VAR_PARTNER_CENTER_ENABLED": "false", "HUNTER_PARTNER_CENTER_ENABLED": "true"},
        {"HUNTER_PARTNER_CENTER_ENABLED": "false"},
    ],
    ids=["unset", "off", "off wins over the environment", "off in the environment"],
)
def test_flag_off_means_no_network_call_at_all(
    sync_runner: Runner,
    signed_in: None,
    warehouse: Warehouse,
    simulator: Any,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    simulator.control.clear_requests()
    run = sync_runner()
    assert_skipped(run, "switched off", "partner_center_enabled")
    assert simulator.control.requests() == []
    assert warehouse.value("select count(*) from pg_tables where schemaname = 'public'") == 0


def rewrite_cache(change: Callable[[dict[str, Any]], None]) -> None:
    """Change MSAL's cache where it is kept."""
    from partner_center import airflow_store

    cache = json.loads(airflow_store.get("partner_center_token_cache") or "")
    change(cache)
    airflow_store.put("partner_center_token_cache", json.dumps(cache), "changed by a test")


@pytest.mark.parametrize(("days", "told"), [(75, False), (77, True), (95, True)])
def test_switched_off_for_weeks_the_end_of_the_sign_in_is_told_ahead(
    sync_runner: Runner, signed_in: None, warehouse: Warehouse, simulator: Any, days: int, told: bool
) -> None:
    used = int(time.time()) - days * 86_400

    def age(cache: dict[str, Any]) -> None:
        for entry in cache["RefreshToken"].values():
            entry["last_modification_time"] = str(used)

    rewrite_cache(age)
    simulator.control.clear_requests()
    run = sync_runner()
    ends = datetime.fromtimestamp(used, UTC) + timedelta(days=90)
    assert_skipped(run, "switched off", *([f"sign-in of s***@partner.example ends on {ends:%Y-%m-%d}"] if told else []))
    assert ("ends on" in run.log) is told
    assert simulator.control.requests() == []


def test_a_refresh_token_in_a_connection_signs_in_once(
    sync_runner: Runner,
    signed_in: None,
    warehouse: Warehouse,
    simulator: Any,
    flag_on: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.models.variable import Variable

    (secret,) = (name for name, token in simulator.control._state.tokens.refresh.items() if not token.superseded)
    Variable.delete("partner_center_token_cache")
    handed_in = {"conn_type": "generic", "password": secret}
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT_REFRESH_TOKEN", json.dumps(handed_in))
    simulator.control.clear_requests()
    assert_all_stored(sync_runner(), warehouse)
    again = sync_runner({"mode": "full"})
    assert again.counts["unchanged"] == 88
    assert len(token_calls(simulator)) == 1
    assert secret not in again.log
    simulator.control.clear_violations()  # the token that it came with is good, and elsewhere


def test_the_flag_is_taken_from_the_environment_where_there_is_no_variable(
    sync_runner: Runner, signed_in: None, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_ENABLED", "true")
    assert_all_stored(sync_runner(), warehouse)


def encrypt_with_another_key(variable: str, value: str) -> None:
    """Leave a Variable as it stands after the Fernet key was replaced: Airflow's look-up then answers with nothing."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from cryptography.fernet import Fernet
    from sqlalchemy import delete, insert

    secret = Fernet(Fernet.generate_key()).encrypt(value.encode()).decode()
    with create_session() as session:
        session.execute(delete(Variable).where(Variable.key == variable))
        session.execute(insert(Variable.__table__).values(key=variable, val=secret, is_encrypted=True))


@pytest.mark.parametrize("variable", ["partner_center_enabled", "partner_center_token_cache"])
def test_what_cannot_be_read_is_neither_off_nor_signed_out(
    sync_runner: Runner,
    signed_in: None,
    warehouse: Warehouse,
    simulator: Any,
    monkeypatch: pytest.MonkeyPatch,
    short_waits: list[float],
    variable: str,
) -> None:
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_ENABLED", "true")
    simulator.control.clear_requests()
    encrypt_with_another_key(variable, "true")
    run = sync_runner()
    assert_failed(run, "acquire_token", f"The Variable {variable} could not be read", "Fernet key")
    assert simulator.control.requests() == []


# --- a person has to sign in -----------------------------------------------------------------------------------------


@pytest.fixture
def run_unsigned(sync_runner: Runner, warehouse: Warehouse, variables: None, simulator: Any, flag_on: None) -> Runner:
    return sync_runner


def test_nobody_signed_in(run_unsigned: Runner, simulator: Any) -> None:
    run = run_unsigned()
    assert_skipped(run, "sign_in_required", "Nobody is signed in", SCRIPT, "partner_center_sign_in")
    assert listings(simulator) == []


@pytest.fixture
def run_stale(run_unsigned: Runner, simulator: Any) -> Runner:
    """Somebody signed in, and the access token is about to end: the run has to renew it silently."""
    simulator.control.settings(expires_in=200)
    sign_in(simulator)
    simulator.control.settings(expires_in=3600)
    simulator.control.clear_requests()
    return run_unsigned


def test_the_silent_refresh(run_stale: Runner, warehouse: Warehouse, simulator: Any) -> None:
    assert_all_stored(run_stale(), warehouse)
    assert [line["status"] for line in token_calls(simulator)] == [200]


REFUSALS = [
    ("refresh token expired", {"code": 700082, "suberror": "token_expired"}, "refresh_expired"),
    ("refresh token revoked", {"code": 50173, "suberror": "bad_token"}, "refresh_revoked"),
    ("MFA", {"error": "interaction_required", "code": 50076, "suberror": "basic_action"}, "mfa_required"),
    ("MFA to be set up", {"error": "interaction_required", "code": 50079}, "mfa_required"),
    ("Conditional Access", {"error": "interaction_required", "code": 53003}, "conditional_access"),
    ("device not compliant", {"error": "interaction_required", "code": 53000}, "conditional_access"),
    ("consent", {"error": "invalid_grant", "code": 65001, "suberror": "consent_required"}, "consent_required"),
    ("sign-in frequency", {"code": 70043, "suberror": "bad_token"}, "refresh_expired"),
    ("something unknown", {"code": 99999}, "sign_in_required"),
]


@pytest.mark.parametrize(("fault", "reason"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_refused_silent_refresh(run_stale: Runner, simulator: Any, fault: dict[str, Any], reason: str) -> None:
    simulator.control.faults([{"kind": "oauth-error", "on": "token", "grant": "refresh_token", **fault}])
    run = run_stale()
    assert_skipped(run, "sign_in_required", f"[{reason}]", SCRIPT, "partner_center_sign_in")
    assert listings(simulator) == []
    assert len(token_calls(simulator)) == 1, "a refusal is not asked for again: it could lock the account"


def test_the_real_refusals_of_the_login(run_stale: Runner, simulator: Any) -> None:
    simulator.control.revoke("refresh")
    assert_skipped(run_stale(), "[refresh_revoked]")


def test_signing_in_again_ends_it(run_stale: Runner, warehouse: Warehouse, simulator: Any) -> None:
    simulator.control.revoke("all")
    assert_skipped(run_stale(), "sign_in_required")
    sign_in(simulator)
    assert_all_stored(run_stale(), warehouse)


# --- what may pass by itself -----------------------------------------------------------------------------------------

PASSING = [
    {"kind": "429"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
    {"kind": "html502"},
    {"kind": "html200"},
    {"kind": "status", "status": 200, "body": ""},
    {"kind": "status", "status": 200, "body": {"value": None}},
    {"kind": "status", "status": 200, "body": '{"value": [{"id": "cut o'},
    {"kind": "truncate"},
    {"kind": "reset"},
]
IN_A_ROW = ATTEMPTS - 1


@pytest.mark.parametrize("faults", [PASSING[:4], PASSING[4:8], PASSING[8:]], ids=["429 and 5xx", "garbled", "cut"])
def test_the_api_in_trouble_is_tried_again(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, short_waits: list[float], faults: list[dict[str, Any]]
) -> None:
    assert len(faults) <= IN_A_ROW
    simulator.control.faults([{**fault, "page": page, "times": 1} for page in (1, LAST_PAGE) for fault in faults])
    simulator.control.clear_requests()
    assert_all_stored(run_sync(), warehouse)
    kinds = [*(fault["kind"] for fault in faults), None]
    asked = [(line["page"], line["fault"]) for line in listings(simulator)]
    assert asked == [(page, kind) for page in (1, LAST_PAGE) for kind in kinds]
    assert len(short_waits) == 2 * len(faults)
    assert warehouse.value("select count(*) from partner_center_quarantine") == 0


def test_the_pauses_grow_and_differ(run_sync: Runner, simulator: Any, short_waits: list[float]) -> None:
    simulator.control.faults([{"kind": "status", "status": 503}])
    run_sync()
    run_sync()
    first, second = short_waits[: ATTEMPTS - 1], short_waits[ATTEMPTS - 1 :]
    for pauses in (first, second):
        assert len(pauses) == ATTEMPTS - 1
        assert pauses[-1] > 2 * pauses[0] > 0
    assert first != second


def test_used_up_the_task_fails_and_nothing_is_stored(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, short_waits: list[float]
) -> None:
    simulator.control.faults([{"kind": "status", "status": 503, "page": LAST_PAGE}])
    simulator.control.clear_requests()
    run = run_sync()
    assert_failed(run, "fetch_pages", "HTTP 503", "tried again by itself")
    assert len([line for line in listings(simulator) if line["page"] == LAST_PAGE]) == ATTEMPTS
    assert_nothing_stored(warehouse)
    row = warehouse.run(run.run_id)
    assert row["state"] == "failed"
    assert "HTTP 503" in row["reason"]


def test_then_airflows_own_retry_takes_over(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, short_waits: list[float]
) -> None:
    simulator.control.faults([{"kind": "status", "status": 503, "page": LAST_PAGE, "times": ATTEMPTS}])
    run = run_sync(retries=1)
    assert_all_stored(run, warehouse)
    assert warehouse.run(run.run_id)["state"] == "success"


def test_the_api_unreachable(
    run_sync: Runner, simulator: Any, short_waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import connection_to
    from tests.support.postgres import free_port

    closed = connection_to(simulator) | {"host": f"https://127.0.0.1:{free_port()}"}
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT", json.dumps(closed))
    assert_failed(run_sync(), "fetch_pages", "could not be reached")
    assert len(short_waits) == ATTEMPTS - 1


LOGIN = [
    {"kind": "status", "status": 500, "body": ""},
    {"kind": "html502"},
    {"kind": "html200"},
    {"kind": "429"},
    {"kind": "oauth-error", "error": "temporarily_unavailable", "code": 90033},
]


@pytest.mark.parametrize("faults", [LOGIN[:3], LOGIN[3:]], ids=["5xx and HTML", "429 and unavailable"])
def test_the_login_in_trouble_is_tried_again(
    run_stale: Runner, warehouse: Warehouse, simulator: Any, short_waits: list[float], faults: list[dict[str, Any]]
) -> None:
    simulator.control.faults([{**fault, "on": "token", "times": 1} for fault in faults])
    assert_all_stored(run_stale(), warehouse)
    assert [line["fault"] for line in token_calls(simulator)] == [*(fault["kind"] for fault in faults), None]
    assert len(short_waits) == len(faults)


def test_the_login_in_trouble_for_long(run_stale: Runner, simulator: Any, short_waits: list[float]) -> None:
    simulator.control.faults([{"kind": "status", "status": 503, "on": "token"}])
    assert_failed(run_stale(), "acquire_token", "login is unavailable", "HTTP 503")
    assert len(token_calls(simulator)) == ATTEMPTS
    assert len(short_waits) == ATTEMPTS - 1
    assert listings(simulator) == []


def test_the_login_unreachable(run_stale: Runner, simulator: Any, short_waits: list[float]) -> None:
    simulator.control.faults([{"kind": "reset", "on": "openid"}, {"kind": "reset", "on": "token"}])
    assert_failed(run_stale(), "acquire_token", "login is unavailable")
    assert len(short_waits) == ATTEMPTS - 1


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        ({"kind": "429", "retry_after": "2"}, 2.0),
        ({"kind": "status", "status": 503, "retry_after": "1"}, 1.0),
        ({"kind": "429", "seconds_from_now": 2}, 1.0),  # a date has no fractions of a second
    ],
    ids=["seconds", "seconds with 503", "date"],
)
def test_retry_after_is_obeyed(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, fault: dict[str, Any], least: float
) -> None:
    simulator.control.faults([{**fault, "page": LAST_PAGE, "times": 1}])
    simulator.control.clear_requests()
    assert_all_stored(run_sync(), warehouse)
    refused, again = (line["time"] for line in listings(simulator) if line["page"] == LAST_PAGE)
    assert least <= again - refused < least + 4


def test_retry_after_of_the_login_is_obeyed(run_stale: Runner, warehouse: Warehouse, simulator: Any) -> None:
    simulator.control.faults([{"kind": "429", "on": "token", "retry_after": "2", "times": 1}])
    assert_all_stored(run_stale(), warehouse)
    refused, again = (line["time"] for line in token_calls(simulator))
    assert 2.0 <= again - refused < 6


def test_a_long_retry_after_is_left_to_airflows_retry(
    run_sync: Runner, simulator: Any, short_waits: list[float]
) -> None:
    simulator.control.faults([{"kind": "429", "retry_after": "3600"}])
    simulator.control.clear_requests()
    assert_failed(run_sync(), "fetch_pages", "HTTP 429")
    assert short_waits == []
    assert len(listings(simulator)) == 1


# --- 401, 403 --------------------------------------------------------------------------------------------------------


def test_401_in_mid_run_costs_one_forced_refresh(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    simulator.control.faults([{"kind": "401", "page": LAST_PAGE, "times": 1}])
    simulator.control.clear_requests()
    assert_all_stored(run_sync(), warehouse)
    assert len(token_calls(simulator)) == 1
    assert [(line["page"], line["status"]) for line in listings(simulator)] == [(1, 200), (2, 401), (2, 200)]


def test_401_with_the_refresh_refused_fails_and_the_next_run_is_skipped(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    simulator.control.revoke("all")
    run = run_sync()
    assert_failed(run, "fetch_pages", "[refresh_revoked]", SCRIPT)
    assert run.task_states["acquire_token"] == "success"
    assert "refresh_revoked" in warehouse.run(run.run_id)["reason"]
    simulator.control.clear_requests()
    assert_skipped(run_sync(), "sign_in_required")
    assert listings(simulator) == []


def test_401_also_for_a_fresh_token(run_sync: Runner, simulator: Any, short_waits: list[float]) -> None:
    simulator.control.faults([{"kind": "401"}])
    simulator.control.clear_requests()
    assert_failed(run_sync(retries=1), "fetch_pages", "[token_rejected]")
    assert len(listings(simulator)) == 2
    assert len(token_calls(simulator)) == 1
    assert short_waits == []


@pytest.mark.parametrize("variant", ["text", "number", "csp"])
def test_900421_fails_at_once_and_names_mfa(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, short_waits: list[float], variant: str
) -> None:
    simulator.control.faults([{"kind": "401-mfa", "variant": variant}])
    simulator.control.clear_requests()
    run = run_sync(retries=1)
    assert_failed(run, "fetch_pages", "multi-factor authentication (MFA)", "[mfa_required]", SCRIPT)
    assert len(listings(simulator)) == 1
    assert token_calls(simulator) == []
    assert short_waits == []
    assert "MFA" in warehouse.run(run.run_id)["reason"]


@pytest.mark.parametrize("kind", ["403-role", "403-claims"])
def test_403_fails_at_once_and_names_the_roles(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, short_waits: list[float], kind: str
) -> None:
    simulator.control.faults([{"kind": kind}])
    simulator.control.clear_requests()
    run = run_sync(retries=1)
    assert_failed(run, "fetch_pages", "Referrals Admin", "Referrals User", "HTTP 403")
    assert len(listings(simulator)) == 1
    assert short_waits == []
    assert "Referrals Admin" in warehouse.run(run.run_id)["reason"]


# --- next links ------------------------------------------------------------------------------------------------------


def test_a_next_link_to_another_host_fails(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    simulator.control.settings(paging="foreign-host")
    simulator.control.clear_requests()
    run = run_sync(retries=1)
    assert_failed(run, "fetch_pages", "another host", "localhost")
    assert len(listings(simulator)) == 1
    assert_nothing_stored(warehouse)


def test_a_next_link_that_repeats_fails(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    simulator.control.settings(paging="loop", max_page_size=50)
    simulator.control.clear_requests()
    assert_failed(run_sync(retries=1), "fetch_pages", "same next link twice")
    assert len(listings(simulator)) <= 3
    assert_nothing_stored(warehouse)


@pytest.mark.parametrize(
    ("paging", "noengagements"),
    [
        ("http-noengagements", "404"),
        ("http-noengagements", "works"),
        ("relative", "404"),
        ("empty-page", "404"),
        ("short-page", "404"),
        ("page-mutation", "404"),
    ],
)
def test_other_forms_of_paging_are_followed_to_the_end(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, paging: str, noengagements: str
) -> None:
    simulator.control.settings(paging=paging, max_page_size=60, noengagements_path=noengagements)
    run = run_sync()
    assert run.state == "success", run.log[-3000:]
    assert run.counts["eligible"] == run.counts["persisted"] == 88


@pytest.fixture
def elsewhere(running_simulator_of_worker: Any) -> Iterator[Any]:
    """Somebody else's server, with a certificate that nobody has to trust."""
    from simulator import Simulator

    with Simulator("empty") as other:
        yield other


@pytest.mark.parametrize(
    "link",
    [
        "{other}/v1.0/engagements/referrals?$skiptoken=1",
        "//{other_host}/v1.0/engagements/referrals?$skiptoken=1",
        "https://{home_host}@{other_host}/v1.0/engagements/referrals?$skiptoken=1",
        "https:\\\\{other_host}/v1.0/engagements/referrals",
    ],
)
def test_the_token_goes_to_the_configured_host_only(
    run_sync: Runner, warehouse: Warehouse, simulator: Any, elsewhere: Any, short_waits: list[float], link: str
) -> None:
    hosts = {"home_host": simulator.url.split("//")[1], "other_host": elsewhere.url.split("//")[1]}
    body = {"value": [], "@odata.nextLink": link.format(other=elsewhere.url, **hosts)}
    simulator.control.faults([{"kind": "status", "status": 200, "body": body}])
    run = run_sync()
    assert run.state == "failed"
    assert run.task_states["fetch_pages"] == "failed"
    assert elsewhere.control.requests() == []
    assert elsewhere.control.violations() == []
    assert_nothing_stored(warehouse)


def test_an_expired_next_link_is_read_once_more_from_the_first_page(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    simulator.control.faults([{"kind": "expired-skiptoken", "page": LAST_PAGE, "times": 1}])
    run = run_sync()
    assert run.state == "success"
    # What was read before is there twice, and counted as duplicates.
    assert (run.counts["fetched"], run.counts["duplicates"], run.counts["persisted"]) == (450, 200, 88)


# --- counts ----------------------------------------------------------------------------------------------------------


def test_max_pages_reached_fails_and_stores_nothing(run_sync: Runner, warehouse: Warehouse) -> None:
    run = run_sync({"max_pages": 1}, retries=1)
    assert_failed(run, "fetch_pages", "max_pages=1", "nothing is cut in silence")
    assert_nothing_stored(warehouse)
    assert "max_pages" in warehouse.run(run.run_id)["reason"]


def test_max_pages_not_reached(run_sync: Runner, warehouse: Warehouse) -> None:
    assert_all_stored(run_sync({"max_pages": LAST_PAGE}), warehouse)


def test_a_row_without_an_id_is_quarantined_and_the_run_goes_on(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    rows = [row.value() for row in simulator.control._state.store.rows]
    bad = [json.dumps({"name": "no id", "status": "New"}), json.dumps({"id": "", "status": "New"}), '"a text"', "null"]
    simulator.control.seed_raw([*bad, *map(json.dumps, rows)])
    run = run_sync()
    assert run.state == "success"
    assert run.counts["quarantined"] == 4
    assert run.counts["fetched"] == 254
    assert run.counts["persisted"] == 88
    kept = warehouse.rows("select run_id, reason, raw, received_at from partner_center_quarantine")
    assert sorted(row["raw"] for row in kept) == sorted(bad)
    assert {row["reason"] for row in kept} == {"no_id", "not_an_object"}
    assert {row["run_id"] for row in kept} == {run.run_id}


def test_rows_that_are_lost_between_the_tasks_break_an_equation(run_sync: Runner, warehouse: Warehouse) -> None:
    run_sync()
    warehouse.execute(
        """
        create function swallow() returns trigger language plpgsql as
        $$ begin return case when new.row_no % 50 = 0 then null else new end; end $$;
        create trigger swallow before insert on partner_center_staged for each row execute function swallow();
        """
    )
    run = run_sync({"mode": "full"}, retries=1)
    assert_failed(run, "verify_counts", "staging is not what its tasks counted", "rows 245 of 250")
    row = warehouse.run(run.run_id)
    assert row["state"] == "failed"
    assert "rows 245 of 250" in row["reason"]


# --- a schema that is behind -----------------------------------------------------------------------------------------


def test_without_auto_migrate_a_schema_that_is_behind_fails_with_the_command_to_run(
    run_sync: Runner, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_AUTO_MIGRATE", "false")
    run = run_sync()
    assert run.state == "failed"
    assert "make migrate (or: alembic upgrade head)" in run.log
    assert warehouse.value("select to_regclass('partner_center_referrals')") is None
