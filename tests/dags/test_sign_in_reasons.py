"""Every refusal of the login ends in its own reason: in the script, in both DAGs and in the doctor.

The tables are tests/support/refusals.py. The code that each place runs is called here; a few rows go through a real
process and through Airflow, to see that nothing is lost on the way.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import connection_to
from tests.support.commands import contract_environment, run_sign_in_script
from tests.support.environment import ROOT, migrated_metadata
from tests.support.refusals import BEGINNING, ENDING, PERSON, RENEWING, TRACE, Refusal
from tests.support.runs import Runner, load_dag
from tests.support.sign_in import sign_in

ATTEMPTS = 5
CACHE = "partner_center_token_cache"
MIGRATIONS = ROOT / "include" / "migrations"
SIGN_IN_DAG = "partner_center_sign_in"
USER = "sync@partner.example"


def rows(refusals: list[Refusal]) -> Any:
    return pytest.mark.parametrize("row", refusals, ids=[row.id for row in refusals])


def assert_told(text: str, row: Refusal, simulator: Any) -> None:
    """Check that a text names the reason, the way out and where to read more, and nobody."""
    from partner_center.reasons import REASONS

    reason = REASONS[row.reason]
    assert reason.who == row.who
    assert reason.meaning in text
    assert reason.remedy in text
    assert f"docs/sign-in-problems.md#{row.reason}" in text
    assert row.number is None or row.passes or f"AADSTS{row.number}" in text
    assert_nothing_secret(text, simulator)


def assert_nothing_secret(text: str, simulator: Any) -> None:
    tokens = simulator.control._state.tokens
    handed_out = {*tokens.access, *tokens.refresh, *tokens.device}
    assert [secret for secret in handed_out if secret in text] == []
    assert [each for each in (PERSON, TRACE, USER, "eyJ", "Traceback") if each in text] == []


@pytest.fixture
def stale(airflow_home: Any, simulator: Any, kept: str, variables: None) -> Iterator[Any]:
    """Somebody signed in; the access token has ended, so that whoever needs one has to ask the login."""
    from airflow.models.variable import Variable

    cache = json.loads(kept)
    for entry in cache["AccessToken"].values():
        entry["expires_on"] = str(int(time.time()) - 1)
    Variable.set(CACHE, json.dumps(cache))
    yield simulator
    simulator.control.clear_violations()  # the simulated clock did not move, so a renewal looks needless


@pytest.fixture(scope="module")
def database_of_module(postgres18: Any) -> Iterator[Any]:
    """One database for all rows: to make one takes longer than a row."""
    from tests.support.warehouse import Warehouse

    name = postgres18.make_database()
    yield Warehouse(postgres18.dsn(name))
    postgres18.drop_database(name)


@pytest.fixture
def warehouse(database_of_module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The database of this module, known to Airflow as `partner_center_db`."""
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", database_of_module.connection)
    return database_of_module


@pytest.fixture(scope="module")
def kept(airflow_home: Any, running_simulator_of_worker: Any) -> str:
    """What a sign-in leaves in the Variable: made once, since each takes a few tenths of a second."""
    import os

    from airflow.models.variable import Variable

    running_simulator_of_worker.control.reset("empty")
    os.environ["AIRFLOW_CONN_PARTNER_CENTER_DEFAULT"] = json.dumps(connection_to(running_simulator_of_worker))
    try:
        sign_in(running_simulator_of_worker)
        return str(Variable.get(CACHE))
    finally:
        Variable.delete(CACHE)
        del os.environ["AIRFLOW_CONN_PARTNER_CENTER_DEFAULT"]


# --- the script ------------------------------------------------------------------------------------------------------


@pytest.fixture
def script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: None, simulator: Any, warehouse: Any
) -> Callable[..., tuple[int, str]]:
    """Run the sign-in script in this process; what it printed, and its exit code."""
    import scripts.partner_center_device_code_flow as module

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # so that it does not stay set for other tests

    def run(*arguments: str, given: str = "") -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["script", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        capsys.readouterr()
        code = module.main()
        return code, "".join(capsys.readouterr())

    return run


@rows(BEGINNING)
def test_the_script_cannot_begin(script: Any, simulator: Any, row: Refusal) -> None:
    simulator.control.faults([row.fault(on="devicecode")])
    code, out = script()
    assert (code, out.count("\n")) == (1, 1)
    assert out.startswith("Not signed in: ")
    assert f"[{row.reason}]" in out
    assert_told(out, row, simulator)


@rows(ENDING)
def test_the_script_ends_without_a_token(script: Any, simulator: Any, row: Refusal) -> None:
    simulator.control.faults([row.fault(on="token")])
    code, out = script()
    (line,) = [line for line in out.splitlines() if line.startswith("Not signed in: ")]
    assert (code, f"[{row.reason}]" in line) == (1, True)
    assert_told(line, row, simulator)
    assert_nothing_secret(out, simulator)


@rows(RENEWING)
def test_the_script_redeems_a_refresh_token_in_vain(
    script: Any, simulator: Any, short_waits: list[float], row: Refusal
) -> None:
    simulator.control.faults([row.fault(on="token")])
    code, out = script("--refresh-token", given="0.Afrom-elsewhere\n")
    assert code == 1
    assert f"[{row.reason}]" in out or row.passes
    assert_told(out, row, simulator)
    assert "from-elsewhere" not in out
    assert len(short_waits) == (ATTEMPTS - 1) * row.passes


# --- the DAG that signs in -------------------------------------------------------------------------------------------


@pytest.fixture
def operator(airflow_home: Any, warehouse: Any, variables: None, simulator: Any) -> Any:
    found = load_dag(ROOT / "dags", SIGN_IN_DAG).task_dict["sign_in"]
    found.partner_center_conn_id = "partner_center_default"  # as rendered from the DAG's param
    return found


def executed(operator: Any) -> Any:
    """Execute the operator, which Airflow allows to its own task runner alone."""
    return type(operator).execute.__wrapped__(operator, {})


def flow_of(connection: str = "partner_center_default") -> dict[str, Any]:
    from partner_center.hook import PartnerCenterHook

    return PartnerCenterHook(connection).tokens.start_device_flow()


def event_of(flow: dict[str, Any]) -> dict[str, Any]:
    """Run the trigger to its one event, through what Airflow keeps of both."""
    from airflow.sdk._shared.module_loading import import_string

    from partner_center import device_flows
    from partner_center.sign_in_trigger import DeviceCodeTrigger

    path, kwargs = DeviceCodeTrigger("partner_center_default", device_flows.keep(flow)).serialize()
    trigger = import_string(path)(**json.loads(json.dumps(kwargs)))

    async def first() -> Any:
        return await anext(trigger.run())

    return json.loads(json.dumps(asyncio.run(first()).payload))


@rows(BEGINNING)
def test_the_sign_in_dag_cannot_begin(operator: Any, simulator: Any, row: Refusal) -> None:
    from partner_center.errors import ConfigurationError

    simulator.control.faults([row.fault(on="devicecode")])
    with pytest.raises(ConfigurationError) as caught:
        executed(operator)
    assert caught.value.reason == row.reason
    assert_told(str(caught.value), row, simulator)


@rows(ENDING)
def test_the_sign_in_dag_ends_without_a_token(operator: Any, simulator: Any, row: Refusal) -> None:
    from partner_center.errors import ConfigurationError, SignInRequired

    flow = flow_of()
    simulator.control.faults([row.fault(on="token")])
    event = event_of(flow)
    assert event["reason"] == row.reason
    assert_nothing_secret(json.dumps(event), simulator)
    with pytest.raises(ConfigurationError if row.is_setting else SignInRequired) as caught:
        operator.resume({}, event)
    assert caught.value.reason == row.reason
    assert_told(str(caught.value), row, simulator)


@pytest.mark.parametrize(
    ("place", "row"),
    [
        pytest.param("devicecode", BEGINNING[1], id="cannot begin"),
        pytest.param("token", ENDING[8], id="ends without a token"),
    ],
)
def test_airflow_shows_the_reason_in_the_log(
    sync_runner: Runner, warehouse: Any, variables: None, simulator: Any, place: str, row: Refusal
) -> None:
    simulator.control.faults([row.fault(on=place)])
    run = sync_runner.of(SIGN_IN_DAG)()
    assert (run.state, run.task_states) == ("failed", {"sign_in": "failed"})
    assert f"[{row.reason}]" in run.log
    assert f"docs/sign-in-problems.md#{row.reason}" in run.log
    tokens = simulator.control._state.tokens
    assert [each for each in (PERSON, TRACE, *tokens.device) if each in run.log] == []


# --- the DAG that syncs ----------------------------------------------------------------------------------------------


PARAMS = {"mode": "full", "direction": "any", "statuses": ["New"], "max_pages": None, "dry_run": False}


@rows(RENEWING)
def test_the_sync_is_skipped_or_fails(
    stale: Any, warehouse: Any, flag_on: None, short_waits: list[float], row: Refusal
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from partner_center import steps
    from partner_center.errors import ApiUnavailable, ConfigurationError
    from partner_center.runs import RunRequest

    stale.control.faults([row.fault(on="token")])
    request = RunRequest.from_params(row.id, PARAMS)
    expected = ConfigurationError if row.is_setting else ApiUnavailable if row.passes else AirflowSkipException
    with pytest.raises(expected) as caught:
        steps.acquire_token(request, MIGRATIONS)
    text = str(caught.value)
    assert_told(text, row, stale)
    assert row.passes or f"[{row.reason}]" in text
    assert text.startswith("sign_in_required: ") is (expected is AirflowSkipException)
    state = "skipped" if expected is AirflowSkipException else "failed"
    assert (warehouse.run(row.id)["state"], warehouse.run(row.id)["reason"]) == (state, text)
    asked = [line for line in stale.control.requests() if line["grant"] == "refresh_token"]
    assert len(asked) == (ATTEMPTS if row.passes else 1), "a refusal is not asked for again: it could lock the account"


# --- the doctor ------------------------------------------------------------------------------------------------------


def findings(**patient: Any) -> dict[str, Any]:
    from partner_center.account_checks import Patient
    from partner_center.doctor import examine

    return {finding.check: finding for finding in examine(Patient(MIGRATIONS, **patient))}


@rows(BEGINNING)
def test_the_doctor_sees_a_wrong_app_registration(stale: Any, warehouse: Any, row: Refusal) -> None:
    stale.control.faults([row.fault(on="devicecode")])
    finding = findings()["app_registration"]
    assert (finding.status, finding.reason) == ("NOT OK", row.reason)
    assert f"[{row.reason}]" in finding.line()
    assert f"Who: {row.who}." in finding.line()
    assert_told(finding.line(), row, stale)


@rows(RENEWING)
def test_the_doctor_sees_a_refused_renewal(stale: Any, warehouse: Any, row: Refusal) -> None:
    stale.control.faults([row.fault(on="token")])
    found = findings()
    finding = found["silent_token"]
    assert (finding.status, finding.reason) == ("NOT OK", row.reason)
    assert f"[{row.reason}]" in finding.line()
    assert f"Who: {row.who}." in finding.line()
    assert_told(finding.line(), row, stale)
    assert {found[name].status for name in ("token_claims", "referral_call", "role")} == {"skipped"}
    assert_nothing_secret("\n".join(each.line() for each in found.values()), stale)


# --- in real processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "row"),
    [
        pytest.param("devicecode", BEGINNING[0], id="cannot begin"),
        pytest.param("token", ENDING[8], id="ends without a token"),
    ],
)
def test_the_script_as_people_run_it(simulator: Any, warehouse: Any, tmp_path: Path, place: str, row: Refusal) -> None:
    migrated_metadata(tmp_path)
    connections = {
        "partner_center_db": json.loads(warehouse.connection),
        "partner_center_default": connection_to(simulator),
    }
    environment = contract_environment(tmp_path, f"sqlite:///{tmp_path}/airflow.db", connections)
    simulator.control.faults([row.fault(on=place)])
    done = run_sign_in_script(environment, simulator, "approve", tmp_path)
    (line,) = [line for line in done.out.splitlines() if line.startswith("Not signed in: ")]
    assert (done.code, f"[{row.reason}]" in line) == (1, True)
    assert_told(line, row, simulator)
    assert_nothing_secret(done.out, simulator)


# --- waiting for a person, and for the login -------------------------------------------------------------------------


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between two questions to the login; none is made, and MSAL does not notice."""
    from partner_center import auth, sign_in_trigger

    pauses: list[float] = []
    flows: list[dict[str, Any]] = []
    poll = auth.TokenSource.poll_device_flow

    def noted(self: Any, flow: dict[str, Any]) -> Any:
        flows[:] = [flow]
        return poll(self, flow)

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        flows[0]["latest_attempt_at"] = flows[0].get("latest_attempt_at", seconds) - seconds

    async def asleep(seconds: float) -> None:
        sleep(seconds)

    monkeypatch.setattr(auth.TokenSource, "poll_device_flow", noted)
    monkeypatch.setattr(auth, "time", SimpleNamespace(time=time.time, sleep=sleep))
    trigger_asyncio = SimpleNamespace(sleep=asleep, to_thread=asyncio.to_thread)
    monkeypatch.setattr(sign_in_trigger, "asyncio", trigger_asyncio)
    return pauses


NOT_YET = [
    Refusal("authorization_pending", 70016, None, "", "").fault(on="token", times=3),
    Refusal("slow_down", None, None, "", "").fault(on="token", times=1),
]


def test_the_script_waits_and_slows_down(script: Any, simulator: Any, hurried: list[float]) -> None:
    simulator.control.settings(auto_approve=True)
    simulator.control.faults(NOT_YET)
    code, out = script()
    assert (code, "Signed in as s***@partner.example" in out) == (0, True)
    assert hurried == [1, 1, 1, 6]
    assert_nothing_secret(out, simulator)


def test_the_trigger_waits_and_slows_down(operator: Any, simulator: Any, hurried: list[float]) -> None:
    from partner_center import airflow_store, device_flows

    simulator.control.settings(auto_approve=True)
    flow = flow_of()
    simulator.control.faults(NOT_YET)
    event = event_of(flow)
    assert event["account"] == "s***@partner.example"
    assert hurried == [1, 1, 1, 6]
    assert operator.resume({}, event)["account"] == "s***@partner.example"
    assert airflow_store.names(device_flows.VARIABLE_PREFIX) == []


@pytest.mark.parametrize("kind", ["reset", "html502", "429"])
def test_the_trigger_goes_on_while_the_login_is_down(
    operator: Any, simulator: Any, hurried: list[float], short_waits: list[float], kind: str
) -> None:
    simulator.control.settings(auto_approve=True)
    flow = flow_of()
    simulator.control.faults([{"kind": kind, "on": "token", "times": ATTEMPTS + 1}])
    assert event_of(flow)["account"] == "s***@partner.example"
    assert hurried == [1]
    assert len(short_waits) == ATTEMPTS


def test_five_runs_within_one_tokens_life_ask_the_login_once(
    simulator: Any, warehouse: Any, variables: None, flag_on: None
) -> None:
    from tests.support.pipeline import Pipeline

    simulator.control.settings(expires_in=200)
    sign_in(simulator)
    simulator.control.settings(expires_in=3_600)
    simulator.control.clear_requests()
    pipeline = Pipeline()
    for _ in range(5):
        pipeline.run()
    pages = [line for line in simulator.control.requests() if line["path"].startswith("/v1.0/")]
    assert len(pages) >= 5
    asked = [line for line in simulator.control.requests() if line["path"].endswith("/oauth2/v2.0/token")]
    assert [line["grant"] for line in asked] == ["refresh_token"]
