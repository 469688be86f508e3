"""The watch through Airflow: what holds in the warehouse becomes messages at a mail server and an HTTP service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import connection_to
from tests.support.environment import ROOT
from tests.support.metadata import set_run
from tests.support.runs import Run, Runner
from tests.support.sign_in import sign_in
from tests.support.sinks import HttpSink, MailSink, http_sink, mail_sink
from tests.support.warehouse import Warehouse

WATCH = "partner_center_watch"
EMAIL, OTHER = "AIRFLOW_CONN_PARTNER_CENTER_ALERT_EMAIL", "AIRFLOW_CONN_PARTNER_CENTER_ALERT_APPRISE"
VARIABLE = "partner_center_alerts"
AWAY = '{"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "password": "the secret word"}'
RUN = """
insert into partner_center_sync_runs
    (run_id, mode, direction, statuses, dry_run, state, reason, started_at, finished_at)
values (%s, 'incremental', 'Incoming', '{New}', false, %s, %s, now() - %s::interval, now() - %s::interval)
"""
QUARANTINED = "insert into partner_center_quarantine (run_id, reason, raw) values ('run-q', 'no_id', '{}')"


@pytest.fixture
def mail() -> Iterator[MailSink]:
    with mail_sink() as sink:
        yield sink


@pytest.fixture
def http() -> Iterator[HttpSink]:
    with http_sink() as sink:
        yield sink


@pytest.fixture
def told(mail: MailSink, http: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both channels are there."""
    monkeypatch.setenv(EMAIL, mail.connection())
    monkeypatch.setenv(OTHER, http.connection())


@pytest.fixture
def watch(
    sync_runner: Runner,
    migrated: Warehouse,
    simulator: Any,
    variables: None,
    flag_on: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Runner:
    """Run the watch; the flag is on, nobody is signed in, and no run was yet."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.partner.example/af")
    return sync_runner.of(WATCH)


@pytest.fixture
def look(watch: Runner) -> Callable[[], list[str]]:
    """Do what the DAG's task does, in this process and in a fifth of the time; return what is open."""
    from partner_center.accounts import DEFAULT
    from partner_center.watching import watch as done

    return lambda: done(DEFAULT, lambda _: False)["open"]


@pytest.fixture
def migrated(make_migrated: Any, postgres18: Any) -> Warehouse:
    return make_migrated(postgres18)


@pytest.fixture
def signed_in_too(watch: Any, simulator: Any) -> None:
    sign_in(simulator)


@pytest.fixture
def ended(migrated: Warehouse) -> Callable[..., None]:
    """Write a run as the sync would have."""

    def add(state: str, ago: int, reason: str | None = None, run_id: str = "") -> None:
        with migrated.connect() as connection:
            named = run_id or f"{state}-{ago}"
            connection.execute(RUN, (named, state, reason, f"{ago} seconds", f"{ago} seconds"))

    return add


def passed(**span: float) -> None:
    """Let time pass: all times that were kept are that much earlier."""
    from airflow.models.variable import Variable

    def earlier(found: re.Match[str]) -> str:
        return (datetime.fromisoformat(found[0]) - timedelta(**span)).isoformat()

    text = Variable.get(VARIABLE)
    Variable.set(VARIABLE, re.sub(r"20\d\d-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)", earlier, text))


def subjects(mail: MailSink, http: HttpSink) -> list[str]:
    """Return what both channels were told; they were told the same."""
    told = [each.subject for each in mail.mails]
    assert [each["title"] for each in http.posts] == told
    return [each.removeprefix("[Partner Center] ") for each in told]


def open_now(run: Run) -> list[str]:
    assert run.state == "success", run.log[-4000:]
    return run.xcoms["watch"]["open"]


# Each cause, from its opening to its end


@pytest.mark.usefixtures("told", "signed_in_too")
def test_a_run_that_fails_is_told_once_and_so_is_its_end(
    watch: Runner, mail: MailSink, http: HttpSink, ended: Any, sync_runner: Runner, simulator: Any
) -> None:
    simulator.control.faults([{"kind": "403-role", "on": "referrals"}])
    failed = sync_runner()
    assert failed.state == "failed"
    # Airflow would still try it again.
    set_run(failed.run_id, "running", {})
    assert open_now(watch()) == []
    set_run(failed.run_id, "failed", {})
    for number in range(10):
        assert open_now(watch()) == ["failed"]
        ended("failed", -number, f"HTTP 403 again, number {number}.")
    assert subjects(mail, http) == ["default: sync failed"]
    (first,) = mail.mails
    assert (first.sender, first.to) == ("airflow@partner.example", ["ops@partner.example", "sales@partner.example"])
    for part in (failed.run_id, "Referrals Admin", "https://airflow.partner.example/af/partner-center/", " UTC"):
        assert part in first.html, part
    assert failed.run_id in http.posts[0]["message"]
    assert http.posts[0]["type"] == "failure"

    ended("success", -60)
    assert open_now(watch()) == []
    assert open_now(watch()) == []
    assert subjects(mail, http)[1:] == ["default: over: sync succeeds again"]
    assert "It lasted for 0 minutes" in mail.mails[1].html


@pytest.mark.usefixtures("told", "signed_in_too")
def test_once_more_after_a_day(look: Callable[[], list[str]], mail: MailSink, http: HttpSink, ended: Any) -> None:
    from airflow.models.variable import Variable

    ended("success", 60)
    ended("failed", 10, "The API is away.")
    look()
    passed(hours=23)
    look()
    assert len(mail.mails) == 1
    passed(hours=2)
    Variable.set("partner_center_alert_reminder_hours", "0")
    look()
    assert len(mail.mails) == 1
    Variable.delete("partner_center_alert_reminder_hours")
    look()
    look()
    assert subjects(mail, http) == ["default: sync failed", "default: still: sync failed"]
    assert "You were told of it before" in mail.mails[1].html


@pytest.mark.usefixtures("told")
def test_a_person_has_to_sign_in_and_nothing_else_is_told_of_what_follows_from_it(
    look: Callable[[], list[str]], mail: MailSink, http: HttpSink, ended: Any, simulator: Any
) -> None:
    ended("success", 3 * 3600)
    ended("failed", 2 * 3600, "The API is away.")
    ended("skipped", 60, "sign_in_required: The sign-in has expired. [refresh_expired]")
    assert look() == ["sign_in_required"]
    assert look() == ["sign_in_required"]
    sign_in(simulator)
    ended("success", -1)
    assert look() == []
    assert subjects(mail, http) == ["default: a person has to sign in", "default: over: somebody is signed in again"]


@pytest.mark.usefixtures("told", "signed_in_too")
def test_no_success_for_an_hour(
    look: Callable[[], list[str]], mail: MailSink, http: HttpSink, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Never: counted from the first look on.
    assert look() == []
    passed(minutes=59)
    assert look() == []
    passed(minutes=2)
    assert look() == ["stale"]
    ended("success", 50 * 60)
    assert look() == []
    ended("success", 25 * 60)
    with monkeypatch.context() as quick:
        quick.setenv("HUNTER_PARTNER_CENTER_ALERT_STALE_MINUTES", "20")
        assert look() == []  # less than three intervals is no reason
    assert subjects(mail, http) == ["default: no success for too long", "default: over: sync succeeds again"]


@pytest.mark.usefixtures("told", "signed_in_too")
def test_a_success_long_ago_counts_from_when_the_sync_was_switched_on(
    look: Callable[[], list[str]], ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended("success", 7 * 86400)
    with monkeypatch.context() as off:
        off.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "false")
        assert look() == []
        passed(hours=5)
        assert look() == []
    assert look() == []
    passed(minutes=61)
    assert look() == ["stale"]


@pytest.mark.usefixtures("told", "signed_in_too")
def test_the_quarantine(
    look: Callable[[], list[str]], mail: MailSink, http: HttpSink, ended: Any, migrated: Warehouse
) -> None:
    ended("success", 0)
    migrated.execute(QUARANTINED)
    for _ in range(2):
        assert look() == ["quarantine"]
        migrated.execute(QUARANTINED)
    passed(hours=25)
    ended("success", -1)
    look()
    passed(hours=25)  # no new row
    look()
    migrated.execute("update partner_center_quarantine set replayed_at = now()")
    assert look() == []
    assert subjects(mail, http) == [
        "default: rows in the quarantine",
        "default: more rows in the quarantine",
        "default: over: the quarantine is empty",
    ]
    assert "1 row waits" in mail.mails[0].html
    assert "3 rows wait there; the newest for the reason no_id." in mail.mails[1].html


@pytest.mark.usefixtures("told", "signed_in_too")
def test_what_cannot_be_read(
    look: Callable[[], list[str]], mail: MailSink, http: HttpSink, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended("success", 60)
    ended("failed", 10, "The API is away.")
    look()
    with monkeypatch.context() as broken:
        broken.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", AWAY)
        assert look() == ["failed", "unreadable"]
        assert look() == ["failed", "unreadable"]
    with monkeypatch.context() as broken:
        broken.setenv("AIRFLOW_VAR_PARTNER_CENTER_ALERT_REMINDER_HOURS", "often")
        assert look() == ["failed", "unreadable"]
        broken.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "perhaps")
        assert look() == ["failed", "unreadable"]
    ended("success", -1)
    assert look() == []
    assert subjects(mail, http) == [
        "default: sync failed",
        "default: the state of the sync cannot be read",
        "default: over: the state of the sync can be read again",
        "default: over: sync succeeds again",
    ]
    assert "the secret word" not in mail.mails[1].html


@pytest.mark.usefixtures("told", "signed_in_too")
def test_switched_off_owes_nothing(
    look: Callable[[], list[str]], mail: MailSink, http: HttpSink, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended("failed", 10, "The API is away.")
    look()
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "false")
    assert look() == []
    passed(hours=25)
    assert look() == []
    assert subjects(mail, http) == ["default: sync failed", "default: switched off; was: sync failed"]


# The channels


@pytest.mark.usefixtures("signed_in_too")
def test_nothing_is_configured(watch: Runner, mail: MailSink, http: HttpSink, ended: Any) -> None:
    ended("failed", 10, "The API is away.")
    assert open_now(watch()) == ["failed"]
    assert subjects(mail, http) == []


@pytest.mark.usefixtures("told", "signed_in_too")
def test_a_sink_that_is_down_is_told_later_and_the_other_one_not_twice(
    watch: Runner, mail: MailSink, http: HttpSink, ended: Any
) -> None:
    ended("failed", 10, "The API is away.")
    mail.refuses = True
    for _ in range(2):
        run = watch()
        assert run.state == "failed"
        assert "An alert could not be sent by e-mail (SMTPDataError)" in run.log
        assert "partner.example" not in run.log
    mail.refuses, http.refuses = False, True
    assert watch().state == "success"
    ended("success", -1)
    run = watch()
    assert "could not be sent by service 1 of partner_center_alert_apprise" in run.log
    http.refuses = False
    assert open_now(watch()) == []
    assert subjects(mail, http) == ["default: sync failed", "default: over: sync succeeds again"]


@pytest.mark.usefixtures("signed_in_too")
def test_a_connection_that_cannot_be_right_does_not_keep_the_others_from_being_told(
    watch: Runner, mail: MailSink, http: HttpSink, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EMAIL, mail.connection(to=[]))
    monkeypatch.setenv(OTHER, http.connection("nosuch://the-secret"))
    ended("failed", 10, "The API is away.")
    run = watch()
    assert run.state == "failed"
    assert "has no to" in run.log
    assert "no address at place 2" in run.log
    assert "the-secret" not in run.log
    assert len(http.posts) == 1


@pytest.mark.usefixtures("told", "signed_in_too")
def test_nobodys_data_and_no_template_of_others_goes_out(
    look: Callable[[], list[str]], mail: MailSink, http: HttpSink, ended: Any
) -> None:
    from airflow.models.variable import Variable

    ended("failed", 10, "{{ 6 * 7 }} <b>of</b> aino.laine@nordwind.example, +358 20 000 0001")
    assert look() == ["failed"]
    sent = mail.mails[0].html
    assert "{{ 6 * 7 }} &lt;b&gt;of&lt;/b&gt; a***@nordwind.example, [phone]" in sent
    assert "aino.laine" not in sent + http.posts[0]["message"] + Variable.get(VARIABLE)


@pytest.mark.usefixtures("told", "signed_in_too")
def test_a_state_that_cannot_be_read_is_begun_anew(look: Callable[[], list[str]], mail: MailSink, ended: Any) -> None:
    from airflow.models.variable import Variable

    Variable.set(VARIABLE, "no JSON of ours")
    ended("failed", 10, "The API is away.")
    assert look() == ["failed"]
    assert look() == ["failed"]
    assert len(mail.mails) == 1


@pytest.mark.usefixtures("told", "signed_in_too")
def test_each_account_is_told_of_by_itself(
    watch: Runner, mail: MailSink, http: HttpSink, ended: Any, simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CONNECTIONS", "partner_center_north")
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_NORTH", json.dumps(connection_to(simulator)))
    ended("success", 10)
    run = watch()
    assert (run.xcoms["watch"]["open"], run.xcoms["watch__north"]["open"]) == ([], ["sign_in_required"])
    assert subjects(mail, http) == ["north: a person has to sign in"]
    assert "/partner-center/?connection=partner_center_north" in mail.mails[0].html


# Under the real scheduler


@pytest.fixture
def over_tables(airflow_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """The tables of the shared Airflow's warehouse, empty again afterwards."""
    from partner_center.warehouse import ensure_schema

    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", airflow_warehouse.connection)
    ensure_schema(ROOT / "include" / "migrations", auto_migrate=True)
    yield airflow_warehouse
    airflow_warehouse.execute("drop schema public cascade; create schema public")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("airflow")
def test_a_real_task_sees_and_tells_all_that_it_needs(airflow: Any, over_tables: Warehouse, http: HttpSink) -> None:
    with over_tables.connect() as connection:
        connection.execute(RUN, ("run-1", "failed", "The API is away.", "10 seconds", "10 seconds"))
    connection = json.loads(http.connection())
    body = {"connection_id": "partner_center_alert_apprise", **connection, "extra": json.dumps(connection["extra"])}
    airflow.call("POST", "connections", body)
    airflow.call("POST", "variables", {"key": "partner_center_enabled", "value": "true"})
    try:
        run_id = airflow.trigger(WATCH)
        assert airflow.wait(WATCH, run_id) == "success", airflow.log(WATCH, run_id, "watch")
        # What was due went out with the run that Airflow begins by itself, or with this one.
        assert airflow.counts(WATCH, run_id, "watch")["open"] == ["sign_in_required"]
    finally:
        airflow.call("PATCH", f"dags/{WATCH}", {"is_paused": True})
        airflow.delete_connection("partner_center_alert_apprise")
    assert [each["title"] for each in http.posts] == ["[Partner Center] default: a person has to sign in"]
    assert http.url not in airflow.log(WATCH, run_id, "watch")


def test_the_connections_of_the_guide_are_right(airflow_home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from partner_center import notifying

    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    # As Apprise wants such addresses; nobody is called by them.
    for mine, whole in {"slack://…": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
                        "workflows://…": "workflows://example.com:443/flow/signature/"}.items():  # fmt: skip
        text = text.replace(mine, whole)
    for connection_id, given in re.findall(r"connections add (\S+) --conn-json '(.*?)'", text, flags=re.DOTALL):
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection_id.upper()}", given)
    channels = notifying.channels()
    assert [channel.name for channel in channels] == ["email", "apprise:1", "apprise:2"]
    for channel in channels:
        channel.check()
