"""The hook: what it reads of a connection, and what it never sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import connection_to

CONNECTION = "AIRFLOW_CONN_PARTNER_CENTER_DEFAULT"


def hook() -> Any:
    from partner_center.hook import PartnerCenterHook

    return PartnerCenterHook()


def test_no_extra_travels_as_a_header(simulator: Any, signed_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connection_to(simulator)
    connection |= {"login": "login-word", "password": "password-word"}
    connection["extra"] |= {"unknown": "extra-word", "client_secret": "secret-word"}
    monkeypatch.setenv(CONNECTION, json.dumps(connection))
    session = hook().get_conn()
    assert set(session.headers) <= {"User-Agent", "Accept-Encoding", "Accept", "Connection"}
    prepared = session.prepare_request(__import__("requests").Request("GET", f"{simulator.url}/v1.0/x"))
    sent = json.dumps(dict(prepared.headers))
    for word in ("login-word", "password-word", "extra-word", "secret-word", simulator.tenant, simulator.client_id):
        assert word not in sent.replace(prepared.headers["Authorization"], "")
    assert prepared.headers["Authorization"].startswith("Bearer ")


def test_the_connections_test_says_who_and_how_much(simulator: Any, signed_in: None) -> None:
    assert hook().test_connection() == (
        True,
        "Signed in as s***@partner.example; the API answered with 1 referral(s).",
    )
    simulator.control.clear_violations()  # one row is asked for without filter and order


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": "https://127.0.0.1:1"}, "could not be reached"),
        ({"host": "http://127.0.0.1"}, "not an https address"),
        ({"extra": {}}, "No client_id is set"),
        ({"extra": "garbage"}, "No client_id is set"),
    ],
)
def test_the_connections_test_never_raises(
    simulator: Any,
    signed_in: None,
    short_waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.setenv(CONNECTION, json.dumps(connection_to(simulator) | changes))
    passed, message = hook().test_connection()
    assert not passed
    assert said in message


def test_the_connections_test_says_that_nobody_is_signed_in(simulator: Any, variables: None) -> None:
    passed, message = hook().test_connection()
    assert (passed, "[not_signed_in]" in message) == (False, True)


def test_without_a_connection_the_old_names_are_read(airflow_home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CLIENT_ID", "client")
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_TENANT_ID", "tenant")
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_API_URL", "https://api.example")
    found = hook().settings
    assert (found.client_id, found.api_url) == ("client", "https://api.example")
    assert found.authority == "https://login.microsoftonline.com/tenant"
    monkeypatch.setenv(CONNECTION, json.dumps({"conn_type": "partner_center", "extra": {"client_id": "other"}}))
    assert hook().settings.client_id == "other"


def test_another_ca_in_the_environment_does_not_win(
    simulator: Any, signed_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert hook().test_connection()[0]
    simulator.control.clear_violations()


def test_a_certificate_that_nobody_signed_is_refused_before_anything_is_sent(
    simulator: Any, signed_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connection_to(simulator)
    connection["extra"].pop("verify")
    monkeypatch.setenv(CONNECTION, json.dumps(connection))
    simulator.control.clear_requests()
    passed, message = hook().test_connection()
    assert (passed, "certificate is not trusted" in message) == (False, True)
    assert simulator.control.requests() == []
