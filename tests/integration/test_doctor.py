"""The doctor: each thing that can be wrong shows in its own check, and nothing is changed, waited for or given away."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from tests.conftest import connection_to
from tests.support.environment import ROOT
from tests.support.metadata import paused

CONNECTION = "AIRFLOW_CONN_PARTNER_CENTER_DEFAULT"
WAREHOUSE = "AIRFLOW_CONN_PARTNER_CENTER_DB"
CACHE = "partner_center_token_cache"
MIGRATIONS = ROOT / "include" / "migrations"
NAMES = (
    "metadata", "connection", "settings", "tls", "login", "app_registration", "token_cache", "silent_token",
    "token_claims", "referral_call", "role", "warehouse", "schema", "fernet_key", "jwt_secret", "dag", "flag", "alerts",
)  # fmt: skip
OF_AIRFLOW = {"dag", "alerts"}  # what they find depends on whether a test before has told Airflow of the DAGs
AFTER_SIGN_IN = ("silent_token", "token_claims", "referral_call", "role")


@pytest.fixture(scope="module")
def database_of_module(postgres18: Any) -> Iterator[Any]:
    """One database for all tests: the doctor changes nothing in it."""
    from tests.support.warehouse import Warehouse

    name = postgres18.make_database()
    yield Warehouse(postgres18.dsn(name))
    postgres18.drop_database(name)


@pytest.fixture
def warehouse(database_of_module: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The database of this module, empty, known to Airflow as `partner_center_db`."""
    monkeypatch.setenv(WAREHOUSE, database_of_module.connection)
    yield database_of_module
    database_of_module.execute("drop schema public cascade; create schema public")


@pytest.fixture
def examined(signed_in: None, simulator: Any, warehouse: Any, flag_on: None) -> Iterator[Callable[..., dict[str, Any]]]:
    """Examine a set-up that is healthy unless the test breaks it; the findings by check."""
    from partner_center.account_checks import Patient
    from partner_center.doctor import examine

    simulator.control.clear_requests()
    yield lambda **patient: {each.check: each for each in examine(Patient(MIGRATIONS, **patient))}
    simulator.control.clear_violations()  # one row is asked for without filter and order


def changed(simulator: Any, extra: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return the connection, changed; an extra that is None is left out."""
    connection = connection_to(simulator) | changes
    connection["extra"] = {k: v for k, v in (connection["extra"] | (extra or {})).items() if v is not None}
    return json.dumps(connection)


def set_variable(name: str, value: str) -> None:
    from airflow.models.variable import Variable

    Variable.set(name, value)


def change_cache(section: str, **changes: Any) -> None:
    """Change each entry of a section of the kept cache."""
    from airflow.models.variable import Variable

    cache = json.loads(Variable.get(CACHE))
    for entry in cache[section].values():
        entry.update(changes)
    Variable.set(CACHE, json.dumps(cache))


def assert_only(found: dict[str, Any], name: str, status: str, *needles: str, also: tuple[str, ...] = ()) -> None:
    """Check that one check has this status and says so, and that what is not named in `also` is well."""
    line = found[name].line()
    assert line.startswith(f"{status:<8} {name}"), line
    for needle in needles:
        assert needle in line
    usual = {"dag": "warning", "schema": "warning"}  # in a fresh Airflow, over a fresh warehouse
    expected = {each: usual.get(each, "ok") for each in NAMES} | dict.fromkeys(also, "skipped") | {name: status}
    assert {each: finding.status for each, finding in found.items() if each not in OF_AIRFLOW} == {
        each: status for each, status in expected.items() if each not in OF_AIRFLOW
    }


# --- health ----------------------------------------------------------------------------------------------------------


def test_a_healthy_set_up_is_ok_in_one_line_each(examined: Any, simulator: Any, warehouse: Any) -> None:
    from partner_center import steps
    from partner_center.findings import exit_code

    steps.ensure_schema(MIGRATIONS)
    found = examined()
    assert tuple(found) == NAMES
    assert {name: each.status for name, each in found.items() if name not in OF_AIRFLOW} == dict.fromkeys(
        set(NAMES) - OF_AIRFLOW, "ok"
    )
    assert exit_code(found.values()) == 0
    text = "\n".join(each.line() for each in found.values())
    assert len(text.splitlines()) == len(NAMES)
    assert "s***@partner.example" in text
    assert "sync@partner.example" not in text
    tokens = simulator.control._state.tokens
    codes = [flow.user_code for flow in tokens.device.values()]
    handed_out = [*tokens.access, *tokens.refresh, *tokens.device, *codes]
    assert [secret for secret in handed_out if secret in text] == []


def test_a_token_that_lasts_costs_no_call_and_nobody_completes_the_device_flow(examined: Any, simulator: Any) -> None:
    examined()
    calls = [(line["path"].rsplit("/", 1)[-1], line["bearer"]) for line in simulator.control.requests()]
    assert [path for path, _ in calls if path == "token"] == []
    assert [path for path, _ in calls if path == "devicecode"] == ["devicecode"]
    assert [path for path, bearer in calls if bearer] == ["referrals"]
    assert simulator.control.state()["device_codes"][-1]["status"] == "pending"


def test_nothing_is_changed_in_the_warehouse(examined: Any, warehouse: Any) -> None:
    assert_only(examined(), "schema", "warning", "no revision yet", "The next run")
    assert warehouse.value("select count(*) from pg_tables where schemaname = 'public'") == 0


# --- what can be wrong, of the account -------------------------------------------------------------------------------


def test_no_connection(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONNECTION)
    found = examined(hint="Start it.")
    after = ("settings", "tls", "login", "app_registration", "token_cache", *AFTER_SIGN_IN)
    assert_only(found, "connection", "NOT OK", "does not exist", "Start it.", "Admin > Connections", also=after)
    assert {found[name].found for name in after} == {"It needs connection, see above."}


def test_the_old_names_fill_in(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONNECTION)
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CLIENT_ID", "client")
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_TENANT_ID", "tenant")
    found = examined(offline=True)
    assert (found["connection"].status, found["settings"].status) == ("ok", "ok")
    assert "Tenant tenant, client id client" in found["settings"].found


def test_another_account(examined: Any, simulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_OTHER", changed(simulator, {"client_id": "other"}))
    found = examined(connection_id="partner_center_other", offline=True)
    assert "partner_center_other, from the environment" in found["connection"].found
    assert "client id other" in found["settings"].found
    assert "partner_center_referral_sync__other" in found["dag"].found
    set_variable("partner_center_enabled__other", "false")
    flag = examined(connection_id="partner_center_other", offline=True)["flag"]
    assert (flag.status, "airflow variables delete partner_center_enabled__other" in flag.line()) == ("warning", True)


def test_the_schema_of_another_account_is_its_own(
    examined: Any, simulator: Any, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from partner_center import steps

    steps.ensure_schema(MIGRATIONS)
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_OTHER", changed(simulator))
    found = examined(connection_id="partner_center_other")
    assert (found["token_cache"].status, found["token_cache"].reason) == ("NOT OK", "not_signed_in")
    assert found["schema"].status == "warning"
    assert "alembic -x account=partner_center_other upgrade head" in found["schema"].advice
    assert warehouse.value("select count(*) from pg_namespace where nspname = 'partner_center_other'") == 0


def test_an_id_that_can_name_no_account(examined: Any) -> None:
    found = examined(connection_id="Not-An-Account")
    assert (found["connection"].status, "cannot be the connection" in found["connection"].found) == ("NOT OK", True)


def test_a_connection_that_the_fernet_key_does_not_open(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from cryptography.fernet import Fernet
    from sqlalchemy import delete, insert

    monkeypatch.delenv(CONNECTION)
    secret = Fernet(Fernet.generate_key()).encrypt(b"{}").decode()
    row = {"conn_id": "partner_center_default", "conn_type": "partner_center", "extra": secret}
    with create_session() as session:
        session.execute(insert(Connection.__table__).values(is_encrypted=True, is_extra_encrypted=True, **row))
    try:
        found = examined()
        assert [found[name].status for name in ("connection", "settings")].count("NOT OK") == 1
    finally:
        with create_session() as session:
            session.execute(delete(Connection).where(Connection.conn_id == "partner_center_default"))


AFTER_TLS = ("login", "app_registration", *AFTER_SIGN_IN)
AFTER_SETTINGS = ("tls", "token_cache", *AFTER_TLS)


@pytest.mark.parametrize(
    ("extra", "name", "needle", "after"),
    [
        ({"client_id": None}, "settings", "No client_id is set.", AFTER_SETTINGS),
        ({"authority": "http://login.example/t"}, "settings", "not an https address", AFTER_SETTINGS),
        ({"verify": "/no/such/bundle.pem"}, "tls", "cannot be read (FileNotFoundError)", AFTER_TLS),
        ({"verify": None}, "tls", "[certificate_untrusted]", AFTER_TLS),
        ({"authority": "{url}/no-such-tenant"}, "login", "[wrong_tenant]", ("app_registration",)),
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, "app_registration", "[app_unknown]", ()),
        ({"scope": "nonsense"}, "app_registration", "[wrong_scope]", ()),
    ],
)
def test_a_wrong_setting(
    examined: Any, simulator: Any, monkeypatch: pytest.MonkeyPatch, extra: Any, name: str, needle: str, after: Any
) -> None:
    extra = {key: value and value.format(url=simulator.url) for key, value in extra.items()}
    monkeypatch.setenv(CONNECTION, changed(simulator, extra))
    found = examined()
    assert found[name].status == "NOT OK"
    assert needle in found[name].line()
    assert found[name].advice
    assert {found[each].status for each in after} <= {"skipped"}


def test_a_bundle_that_signs_others(
    examined: Any, simulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv(CONNECTION, changed(simulator, {"verify": str(tmp_path / "other.pem")}))
    assert_only(examined(), "tls", "NOT OK", "certificate of the login", "[certificate_untrusted]", also=AFTER_TLS)
    assert simulator.control.requests() == []


def test_a_login_that_is_away(examined: Any, simulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION, changed(simulator, {"authority": f"https://127.0.0.1:1/{simulator.tenant}"}))
    begun = time.monotonic()
    found = examined(hint="Start it.")
    assert time.monotonic() - begun < 10
    assert (found["tls"].status, found["login"].status) == ("warning", "NOT OK")
    assert "[login_unreachable] Start it." in found["login"].line()
    assert found["app_registration"].status == "skipped"
    theirs = examined(hint="Start it.", hint_for=frozenset({"warehouse"}))
    assert "Start it." not in theirs["login"].line()


def test_a_client_secret_is_tried_by_no_device_code(
    examined: Any, simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONNECTION, changed(simulator, password="the-client-secret"))
    found = examined()
    assert found["app_registration"].status == "skipped"
    assert "client secret" in found["app_registration"].found
    assert "the-client-secret" not in "".join(each.line() for each in found.values())
    assert found["login"].status == "ok"


# --- the sign-in -----------------------------------------------------------------------------------------------------


def test_nobody_is_signed_in(examined: Any) -> None:
    from airflow.models.variable import Variable

    Variable.delete(CACHE)
    assert_only(examined(), "token_cache", "NOT OK", "[not_signed_in]", also=AFTER_SIGN_IN)


def test_a_refresh_token_that_was_handed_in_is_not_spent(
    examined: Any, simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.variable import Variable

    Variable.delete(CACHE)
    handed_in = json.dumps({"conn_type": "generic", "password": "0.Ahanded-in"})
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT_REFRESH_TOKEN", handed_in)
    found = examined()
    assert_only(found, "token_cache", "warning", "holds a refresh token", "next run redeems it", also=AFTER_SIGN_IN)
    assert "0.Ahanded-in" not in "".join(each.line() for each in found.values())
    assert [line for line in simulator.control.requests() if line["grant"]] == []


def test_an_old_cache_file_is_left_to_the_next_run(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.models.variable import Variable

    Variable.delete(CACHE)
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_TOKEN_CACHE_PATH", "/somewhere/cache.json")
    assert_only(examined(), "token_cache", "warning", "TOKEN_CACHE_PATH", also=AFTER_SIGN_IN)


DAY = 24 * 3_600


@pytest.mark.parametrize(("days", "status"), [(0, "ok"), (75, "ok"), (77, "warning"), (89, "warning"), (91, "warning")])
def test_a_sign_in_that_ends_within_14_days_is_a_warning(examined: Any, days: int, status: str) -> None:
    from partner_center.findings import exit_code

    change_cache("RefreshToken", last_modification_time=str(int(time.time()) - days * DAY))
    found = examined()
    assert_only(found, "token_cache", status)
    assert exit_code(found.values()) == 0
    assert ("sign in again" in found["token_cache"].advice) is (status == "warning")


@pytest.mark.parametrize("text", ["not json", "{}x", '{"RefreshToken": 7}'])
def test_a_variable_that_is_no_cache(examined: Any, text: str) -> None:
    set_variable(CACHE, text)
    assert_only(examined(), "token_cache", "NOT OK", "is not a token cache", "sign in again", also=AFTER_SIGN_IN)


def test_a_variable_that_the_fernet_key_does_not_open(examined: Any) -> None:
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from cryptography.fernet import Fernet
    from sqlalchemy import update

    secret = Fernet(Fernet.generate_key()).encrypt(b"{}").decode()
    with create_session() as session:
        session.execute(update(Variable).where(Variable.key == CACHE).values(_val=secret))
    finding = examined(hint="Start it.")["token_cache"]
    assert (finding.status, "could not be read" in finding.found) == ("NOT OK", True)
    assert "Fernet key" in finding.advice
    assert "Start it." not in finding.advice


def test_a_refused_renewal(examined: Any, simulator: Any) -> None:
    change_cache("AccessToken", expires_on="1")
    simulator.control.revoke("all")
    also = ("token_claims", "referral_call", "role")
    assert_only(examined(), "silent_token", "NOT OK", "[refresh_revoked]", "Who: whoever signs in.", also=also)


def claims_token(simulator: Any, **changes: Any) -> str:
    from simulator.tokens import jwt

    usual = {"aud": "https://api.partner.microsoft.com", "tid": simulator.tenant, "amr": ["pwd", "mfa"], "exp": 1}
    return jwt({name: value for name, value in (usual | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "status", "needle"),
    [
        ({}, "ok", "signed in with MFA, until 1970-01-01 00:00 UTC"),
        ({"amr": None, "exp": None}, "ok", "does not tell about MFA."),
        ({"amr": ["pwd"]}, "NOT OK", "[mfa_required]"),
        ({"aud": "https://graph.microsoft.com"}, "NOT OK", "[wrong_audience]"),
        ({"aud": "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd"}, "ok", "For fa3d9a0c"),
        ({"tid": "00000000-0000-4000-8000-00000000000f"}, "NOT OK", "[wrong_tenant]"),
    ],
)
def test_what_the_token_says_of_itself(examined: Any, simulator: Any, changes: Any, status: str, needle: str) -> None:
    change_cache("AccessToken", secret=claims_token(simulator, **changes))
    finding = examined()["token_claims"]
    assert (finding.status, needle in finding.line()) == (status, True), finding.line()


def test_a_token_that_is_opaque(examined: Any) -> None:
    change_cache("AccessToken", secret="opaque-and-short")
    finding = examined()["token_claims"]
    assert (finding.status, "not a JWT" in finding.found) == ("ok", True)


@pytest.mark.parametrize(
    ("fault", "name", "needle", "also"),
    [
        ({"kind": "401-mfa"}, "referral_call", "[mfa_required]", ("role",)),
        ({"kind": "403-claims"}, "referral_call", "[claims_challenge]", ("role",)),
        ({"kind": "401"}, "referral_call", "[token_rejected]", ("role",)),
        ({"kind": "403-role"}, "role", "[role_missing]", ()),
        ({"kind": "status", "status": 503}, "referral_call", "HTTP 503", ("role",)),
        ({"kind": "html200"}, "referral_call", "not a page of referrals", ("role",)),
        ({"kind": "reset"}, "referral_call", "could not be reached", ("role",)),
    ],
)
def test_what_the_api_says(
    examined: Any, simulator: Any, short_waits: list[float], fault: Any, name: str, needle: str, also: Any
) -> None:
    simulator.control.faults([fault])
    assert_only(examined(), name, "NOT OK", needle, also=also)
    assert short_waits == [], "who asks what is wrong is waiting"


# --- the warehouse ---------------------------------------------------------------------------------------------------


def test_no_warehouse(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WAREHOUSE)
    needles = ("partner_center_db does not exist", "Start it. Create it")
    assert_only(examined(hint="Start it."), "warehouse", "NOT OK", *needles, also=("schema",))


def test_a_warehouse_that_is_away(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAREHOUSE, "postgres://nobody:the-password@127.0.0.1:1/none")
    found = examined(hint="Start it.")
    assert_only(found, "warehouse", "NOT OK", "Connection refused). Start it.", also=("schema",))
    assert "the-password" not in found["warehouse"].line()


@pytest.mark.parametrize(
    ("revision", "auto_migrate", "status", "needle"),
    [
        ("0002_which_version_is_newer", "true", "warning", "behind"),
        ("0002_which_version_is_newer", "false", "NOT OK", "run make migrate"),
        ("9999_of_tomorrow", "true", "NOT OK", "newer code"),
    ],
)
def test_another_schema(
    examined: Any, warehouse: Any, revision: str, auto_migrate: str, status: str, needle: str
) -> None:
    warehouse.execute(
        "create table partner_center_alembic_version (version_num text);"
        f"insert into partner_center_alembic_version values ('{revision}')"
    )
    set_variable("partner_center_auto_migrate", auto_migrate)
    assert_only(examined(), "schema", status, revision, needle)


# --- Airflow ---------------------------------------------------------------------------------------------------------


def test_an_empty_fernet_key(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "")
    assert examined()["fernet_key"].line().startswith("NOT OK   fernet_key       [core] fernet_key is empty")


def test_a_cache_that_was_stored_before_there_was_a_key(examined: Any) -> None:
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(Variable).where(Variable.key == CACHE).values(is_encrypted=False, _val="{}"))
    finding = examined()["fernet_key"]
    assert (finding.status, f"{CACHE} stands in the database in clear" in finding.found) == ("NOT OK", True)


def test_no_jwt_secret(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "")
    assert examined()["jwt_secret"].status == "NOT OK"


@pytest.fixture
def stored(airflow_home: Any) -> Iterator[Callable[..., None]]:
    """Store the DAG as the DAG processor does, then change what was stored; afterwards nobody has stored it."""
    from airflow.models import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    from tests.support.runs import DAG_ID

    def change(pool: str = "default_pool", **model: Any) -> None:
        with create_session() as session:
            session.execute(update(DagModel).where(DagModel.dag_id == DAG_ID).values(model))
            if (row := SerializedDagModel.get(DAG_ID, session=session)) is not None:
                data = json.loads(json.dumps(row.data))
                for task in data["dag"]["tasks"]:
                    task["__var"]["pool"] = pool
                row._data = data

    def store(**changes: Any) -> None:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

        bag = DagBag(dag_folder=str(ROOT / "dags"), bundle_name="dags-folder")
        with create_session() as session:
            session.merge(DagBundleModel(name="dags-folder"))
            session.commit()
            sync_bag_to_db(bag, "dags-folder", None, session=session)
        change(**({"is_paused": False} | changes))

    usual = {"is_stale": True, "is_paused": False, "has_import_errors": False, "max_active_runs": 1}
    change(**usual)
    yield store
    change(**usual)


def test_a_dag_that_nobody_has_stored(examined: Any, stored: Any) -> None:
    finding = examined()["dag"]
    assert (finding.status, "No DAG processor" in finding.found) == ("warning", True)


@pytest.mark.parametrize(
    ("changes", "status", "needle"),
    [
        ({}, "ok", "one run at a time"),
        ({"is_paused": True}, "warning", "airflow dags unpause partner_center_referral_sync"),
        ({"has_import_errors": True}, "NOT OK", "airflow dags list-import-errors"),
        ({"max_active_runs": 3}, "NOT OK", "max_active_runs=3"),
        ({"pool": "partner_center"}, "NOT OK", "names a pool that does not exist: partner_center"),
    ],
)
def test_a_dag_as_airflow_stored_it(examined: Any, stored: Any, changes: Any, status: str, needle: str) -> None:
    stored(**changes)
    assert_only(examined(), "dag", status, needle)
    assert needle in examined()["dag"].line()


@pytest.mark.parametrize(
    ("value", "status", "needle"),
    [
        ("true", "ok", "is on"),
        ("false", "warning", "airflow variables set partner_center_enabled true"),
        ("?", "NOT OK", "neither"),
    ],
)
def test_the_flag(examined: Any, monkeypatch: pytest.MonkeyPatch, value: str, status: str, needle: str) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", value)
    assert_only(examined(), "flag", status, needle)


MAIL = {"conn_type": "smtp", "extra": {"from_email": "airflow@partner.example", "to": "ops@partner.example"}}
OTHER = {"conn_type": "apprise", "extra": {"config": [{"path": "json://127.0.0.1:1/the-secret"}]}}


@pytest.mark.parametrize(
    ("mail", "other", "status", "needle"),
    [
        (None, None, "warning", "Nobody is told"),
        (MAIL, None, "ok", "Alerts go out by e-mail."),
        (MAIL, OTHER, "ok", "by e-mail, service 1 of partner_center_alert_apprise."),
        ({**MAIL, "extra": {"to": "ops@partner.example"}}, OTHER, "warning", "has no from_email"),
        ({**MAIL, "extra": {"from_email": "a@b.example", "to": " , "}}, None, "warning", "has no to"),
        (None, {**OTHER, "extra": {}}, "warning", "no address at place 1"),
        (None, {**OTHER, "extra": {"config": {"path": "nosuch://the-secret"}}}, "warning", "no address at place 1"),
    ],
)
def test_who_is_told(
    known_dags: None, monkeypatch: pytest.MonkeyPatch, mail: Any, other: Any, status: str, needle: str
) -> None:
    for name, connection in (("EMAIL", mail), ("APPRISE", other)):
        if connection is not None:
            monkeypatch.setenv(f"AIRFLOW_CONN_PARTNER_CENTER_ALERT_{name}", json.dumps(connection))
    with paused("partner_center_watch", is_paused=False):
        finding = alerts()
    assert (finding.status, needle in finding.found) == (status, True), finding
    assert "partner.example" not in finding.line()
    assert "the-secret" not in finding.line()


def test_a_watch_that_is_paused_tells_nobody(known_dags: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_ALERT_EMAIL", json.dumps(MAIL))
    with paused("partner_center_watch", is_paused=True):
        assert alerts().advice == "Run: airflow dags unpause partner_center_watch"


def test_alerts_over_a_connection_of_another_key(airflow_home: Any) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import delete, update

    with create_session() as session:
        session.add(Connection(conn_id="partner_center_alert_email", conn_type="smtp", password="word", extra="{}"))
        session.flush()
        session.execute(
            update(Connection)
            .where(Connection.conn_id == "partner_center_alert_email")
            .values({"extra": "gAAAA of another key", "password": "gAAAA of another key"})
        )
    try:
        finding = alerts()
    finally:
        with create_session() as session:
            session.execute(delete(Connection).where(Connection.conn_id == "partner_center_alert_email"))
    assert (finding.status, "cannot be read" in finding.found) == ("warning", True), finding


def alerts() -> Any:
    from partner_center.account_checks import Patient
    from partner_center.site_checks import look_at_alerts

    return look_at_alerts(Patient(MIGRATIONS))


# --- whatever happens ------------------------------------------------------------------------------------------------


def test_offline_nobody_is_called(examined: Any, simulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAREHOUSE, "postgres://nobody:word@127.0.0.1:1/none")
    found = examined(offline=True)
    assert simulator.control.requests() == []
    calling = {"login", "app_registration", "silent_token", "referral_call", "warehouse", "schema"}
    assert {name for name, each in found.items() if each.status == "skipped"} == calling | {"token_claims", "role"}
    assert {found[name].found for name in ("login", "warehouse")} == {"It would make a call (--offline)."}
    assert "NOT OK" not in {each.status for each in found.values()}


def test_no_check_lets_an_error_escape_or_quotes_it(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from partner_center import doctor

    def broken(_: Any) -> Any:
        raise RuntimeError("quotes-a-secret")

    every = doctor.CHECKS
    for name in NAMES:
        monkeypatch.setattr(doctor, "CHECKS", tuple(replace(c, look=broken) if c.name == name else c for c in every))
        finding = examined()[name]
        assert finding.status == "NOT OK"
        assert "An unexpected RuntimeError at " in finding.found
        assert "quotes-a-secret" not in finding.line()


def test_a_metadata_database_that_is_away(airflow_home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    from partner_center import airflow_setup
    from partner_center.account_checks import Patient
    from partner_center.doctor import examine

    def away() -> None:
        raise OperationalError("select quoted", {}, Exception("quoted"))

    monkeypatch.setattr(airflow_setup, "reach_metadata", away)
    found = {each.check: each for each in examine(Patient(MIGRATIONS))}
    assert "Run: airflow db migrate" in found["metadata"].advice
    assert "quoted" not in found["metadata"].line()
    assert {each.status for name, each in found.items() if name not in {"metadata", "jwt_secret"}} == {"skipped"}


# --- the script, and make doctor -------------------------------------------------------------------------------------


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the script in this process; its exit code and standard output."""
    import logging

    module = importlib.import_module("scripts.partner_center_doctor")
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # so that it does not stay set for other tests

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["script", *arguments])
        capsys.readouterr()
        try:
            code = module.main()
        finally:
            logging.disable(logging.NOTSET)
        return code, capsys.readouterr().out

    return run


def test_the_script_prints_lines_or_json(examined: Any, script: Any, simulator: Any) -> None:
    code, out = script()
    assert (code, [line[9:26].strip() for line in out.splitlines()]) == (0, list(NAMES))
    simulator.control.faults([{"kind": "403-role"}])
    code, out = script("--json")
    found = json.loads(out)
    assert (code, [each["check"] for each in found]) == (1, list(NAMES))
    assert all(set(each) == {"check", "status", "found", "reason", "advice"} for each in found)
    (role,) = [each for each in found if each["check"] == "role"]
    assert (role["status"], role["reason"]) == ("NOT OK", "role_missing")
    assert "Referrals Admin" in role["advice"]


def test_make_doctor_says_kindly_that_make_up_is_not_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from scripts.local_stack import airflow_home, doctor, plan

    monkeypatch.setattr(plan, "LOCAL", tmp_path)
    monkeypatch.setattr(airflow_home, "KEPT_CONNECTIONS", tmp_path / "secrets" / "connections.json")
    ours = plan.Plan({"AIRFLOW_HOME": str(tmp_path)})
    assert doctor.hint(ours) == ["--hint", doctor.HINT, "--hint-for", "account", "warehouse", "metadata"]
    assert "`make up` is not running" in doctor.HINT
    named = frozenset({plan.WAREHOUSE, plan.PARTNER_CENTER})
    assert doctor.hint(plan.Plan({}, named))[2:] == ["--hint-for", "metadata"]
    assert doctor.hint(plan.Plan({}, named | {"AIRFLOW_HOME"})) == []
    assert doctor.hint(plan.Plan({}, own_account=True))[2:] == ["--hint-for", "warehouse", "metadata"]
    with plan.only_one():
        assert doctor.hint(ours) == []
    assert doctor.hint(ours) != []


def test_make_doctor_knows_the_parts_that_run_unless_others_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from scripts.local_stack import airflow_home, plan

    kept = tmp_path / "connections.json"
    monkeypatch.setattr(airflow_home, "KEPT_CONNECTIONS", kept)
    airflow_home.choose_kept_connections(nothing_yet := plan.Plan({}))
    assert nothing_yet.environment == {}
    airflow_home.keep_connections(plan.Plan({plan.WAREHOUSE: "ours", plan.PARTNER_CENTER: "ours"}))
    assert kept.stat().st_mode & 0o777 == 0o600
    for environment, account, expected in (
        ({}, False, {plan.WAREHOUSE: "ours", plan.PARTNER_CENTER: "ours"}),
        ({plan.WAREHOUSE: "theirs"}, False, {plan.WAREHOUSE: "theirs", plan.PARTNER_CENTER: "ours"}),
        ({}, True, {plan.WAREHOUSE: "ours"}),
    ):
        later = plan.Plan(dict(environment), frozenset(environment), account)
        airflow_home.choose_kept_connections(later)
        assert later.environment == expected
    named = {plan.WAREHOUSE: "theirs", plan.PARTNER_CENTER: "ours"}
    airflow_home.keep_connections(plan.Plan(named, frozenset({plan.WAREHOUSE})))
    assert json.loads(kept.read_text()) == {plan.PARTNER_CENTER: "ours"}


def test_the_script_runs_where_nothing_is_set_up(tmp_path: Any) -> None:
    from tests.support.commands import BIN

    environment = {"PATH": str(BIN), "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path)}
    script = str(ROOT / "scripts" / "partner_center_doctor.py")
    done = subprocess.run(
        [sys.executable, script, "--json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    found = {each["check"]: each for each in json.loads(done.stdout)}
    assert (done.returncode, found["metadata"]["status"]) == (1, "NOT OK")
    assert "airflow db migrate" in found["metadata"]["advice"]
    assert "Traceback" not in done.stderr + done.stdout
