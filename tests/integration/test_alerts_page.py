"""What the overview says of alerts: who is told, of what and when, and what keeps a message from going out."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.test_pages import get, text_of
from tests.support.metadata import paused

WATCH = "partner_center_watch"
MAIL = {"conn_type": "smtp", "extra": {"from_email": "airflow@partner.example", "to": "ops@partner.example"}}
OTHER = {"conn_type": "apprise", "extra": {"config": {"path": "json://127.0.0.1:1/the-secret"}}}


@pytest.fixture
def overview(client_of, variables, simulator, warehouse, known_dags):
    """The words of the overview, and no address in it."""
    vic = client_of("vic", "VIEWER")

    def look():
        answer = get(vic, "/")
        assert "partner.example" not in answer.text
        assert "the-secret" not in answer.text
        words = text_of(answer)
        return words[words.index("Alerts") :]

    with paused(WATCH, is_paused=False):
        yield look


def set_connection(monkeypatch, name, connection):
    monkeypatch.setenv(f"AIRFLOW_CONN_PARTNER_CENTER_ALERT_{name}", json.dumps(connection))


def test_nobody_is_told(overview):
    words = overview()
    assert "E-mail no Other channel no Last look" in words
    assert "Nobody is told when the sync needs a person. Add a connection partner_center_alert_email" in words
    assert "Nothing is open." in words


def test_who_is_told_and_of_what(overview, monkeypatch):
    from airflow.models.variable import Variable

    from partner_center.alerts import Entry, State

    now = datetime.now(UTC)
    set_connection(monkeypatch, "EMAIL", MAIL)
    set_connection(monkeypatch, "APPRISE", OTHER)
    over = Entry(now, now - timedelta(days=3), over_at=now)
    told = {"email": {"failed": Entry(now, now), "quarantine": over}, "apprise:1": {"quarantine": over}}
    state = State(now, now, {"failed": now - timedelta(days=1), "quarantine": now}, told)
    Variable.set("partner_center_alerts", state.to_json())
    words = overview()
    assert "E-mail yes Other channel yes Last look" in words
    assert "Nobody is told" not in words
    assert "sync failed, since " in words
    assert words.count("e-mail told ") == 1
    assert "rows in the quarantine, since " in words
    assert words.count("nobody was told") == 1


def test_what_keeps_a_message_from_going_out(overview, monkeypatch):
    set_connection(monkeypatch, "EMAIL", {**MAIL, "extra": {}})
    set_connection(monkeypatch, "APPRISE", {**OTHER, "extra": {"config": {"path": "nosuch://the-secret"}}})
    with paused(WATCH, is_paused=True):
        words = overview()
    for problem in ("has no to (who is told", "no address at place 1", f"The DAG {WATCH} is paused, so nobody is told"):
        assert problem in words
