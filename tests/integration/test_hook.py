"""The hook: what it reads of a connection, and what it never sends."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme

from partner_center.errors import ApiUnavailable
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


@pytest.mark.parametrize(
    ("changes", "extra", "said"),
    [
        ({"host": "https://127.0.0.1:port"}, {}, "address"),
        ({"host": "https://[::1"}, {}, "address"),
        ({"host": "https://no-such-host.invalid"}, {}, "could not be reached"),
        ({}, {"verify": False}, "verify"),
        ({}, {"verify": "/no/such/bundle.pem"}, "bundle"),
        ({}, {"instance_discovery": "perhaps"}, "instance_discovery"),
        ({}, {"authority": "http://login.example/t"}, "https"),
        ({}, {"authority": "https://127.0.0.1:1/t"}, "unavailable"),
        ({}, {"client_id": "00000000-0000-4000-8000-000000000000"}, ""),
    ],
)
def test_the_connections_test_tells_what_to_correct(
    simulator: Any,
    signed_in: None,
    short_waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    extra: dict[str, Any],
    said: str,
) -> None:
    connection = connection_to(simulator) | changes
    connection["extra"] = connection["extra"] | extra
    monkeypatch.setenv(CONNECTION, json.dumps(connection))
    passed, message = hook().test_connection()
    assert not passed
    assert said in message
    assert "Unexpected" not in message


@pytest.mark.parametrize("text", ["not json", "[]", '{"RefreshToken": 7}', "{}"])
def test_the_connections_test_survives_any_token_cache(simulator: Any, variables: None, text: str) -> None:
    from airflow.models.variable import Variable

    Variable.set("partner_center_token_cache", text)
    passed, message = hook().test_connection()
    assert not passed
    assert "partner_center_device_code_flow.py" in message
    assert "Unexpected" not in message
    assert simulator.control.requests() == []


@pytest.mark.parametrize("fault", ["html502", "html200", "reset", "401", "403-role", "429"])
def test_the_connections_test_survives_any_answer(
    simulator: Any, signed_in: None, short_waits: list[float], fault: str
) -> None:
    simulator.control.faults([{"kind": fault}])
    passed, message = hook().test_connection()
    assert not passed
    assert "Unexpected" not in message
    simulator.control.clear_violations()


def test_what_arrives_at_the_host_is_what_a_listing_needs_and_no_more(
    simulator: Any, signed_in: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heads: list[str] = []
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.cert_pem.bytes() + Path(simulator.ca).read_bytes())

    def answer(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True) as peer:
            heads.append(peer.recv(65_536).decode())
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n" + b'{"value":[]}')

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=answer, args=(listener,))
        serving.start()
        connection = connection_to(simulator) | {"host": f"https://127.0.0.1:{listener.getsockname()[1]}"}
        connection |= {"login": "login-word", "password": "password-word"}
        connection["extra"] |= {"verify": str(bundle), "client_secret": "secret-word", "X-Header": "header-word"}
        monkeypatch.setenv(CONNECTION, json.dumps(connection))
        assert hook().test_connection()[0]
        serving.join(10)
    (head,) = heads
    first, *lines = head.strip().splitlines()
    assert first == (
        "GET /v1.0/engagements/referrals?$filter=direction%20eq%20%27Incoming%27&$orderby=createdDateTime%20desc"
        "&$top=1 HTTP/1.1"
    )
    names = sorted(line.partition(":")[0].lower() for line in lines)
    assert names == [
        "accept",
        "accept-encoding",
        "authorization",
        "client-request-id",
        "connection",
        "host",
        "user-agent",
    ]
    assert "word" not in head
    assert simulator.tenant not in head.replace(next(line for line in lines if line.startswith("Authorization")), "")


def test_the_description_of_the_connection_fits_airflows_schema(airflow_home: Any) -> None:
    import airflow
    import jsonschema

    from partner_center.provider import get_provider_info

    schema = Path(airflow.__path__[0]) / "provider_info.schema.json"
    jsonschema.validate(get_provider_info(), json.loads(schema.read_text()))


def test_the_login_goes_through_the_proxy_of_the_connection(
    simulator: Any, variables: None, short_waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connection_to(simulator)
    connection["extra"] |= {"proxies": {"https": "http://user:proxy-word@127.0.0.1:1"}}
    monkeypatch.setenv(CONNECTION, json.dumps(connection))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:2")
    with pytest.raises(ApiUnavailable, match="ProxyError") as caught:
        hook().tokens.start_device_flow()
    assert "proxy-word" not in str(caught.value)
    assert "proxy-word" not in repr(hook().settings)
    assert simulator.control.requests() == []
