"""The process: start, trust, stop; and the control over HTTP."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

import simulator
from simulator import Simulator
from simulator.control import ROUTES, Control

INCLUDE = str(Path(simulator.__file__).parents[1])


def start(*arguments: str) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": INCLUDE},
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def finish(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=5)
    return process.returncode


def reach(info: dict[str, str]) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        url = f"{info['authority']}/v2.0/.well-known/openid-configuration"
        return session.get(url, verify=info["ca"], timeout=5).json()


def test_the_command_says_where_it_listens_and_stops_on_a_signal(tmp_path: Path) -> None:
    process, info = start("--dataset", "empty", "--state-dir", str(tmp_path))
    try:
        assert info.keys() == {"url", "ca", "tenant", "client_id", "authority"}
        assert info["authority"] == f"{info['url']}/{info['tenant']}"
        assert info["ca"] == str(tmp_path / "ca.pem")
        assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
        assert reach(info)["issuer"] == f"{info['authority']}/v2.0"
    finally:
        process.send_signal(signal.SIGTERM)
        assert finish(process) == 0


def test_the_command_stops_with_its_stdin() -> None:
    process, info = start("--dataset", "empty", "--exit-with-stdin")
    assert finish(process) == 0
    assert not Path(info["ca"]).exists()


def test_a_restart_keeps_its_trust_and_can_keep_its_port(tmp_path: Path) -> None:
    with Simulator("empty", state_dir=tmp_path) as first:
        authority, port = (tmp_path / "ca.pem").read_bytes(), int(first.url.rsplit(":", 1)[1])
        reach(vars(first))
    with Simulator("empty", state_dir=tmp_path, port=port) as second:
        assert second.url == first.url
        assert (tmp_path / "ca.pem").read_bytes() == authority
        reach(vars(second))


def test_it_stops_at_once_though_a_client_keeps_its_connection_open() -> None:
    with requests.Session() as session:
        session.trust_env = False
        with Simulator("empty") as sim:
            session.get(f"{sim.authority}/v2.0/.well-known/openid-configuration", verify=sim.ca, timeout=5)
            begun = time.monotonic()
    assert time.monotonic() - begun < 3


def test_it_starts_fast_and_answers_as_localhost_too() -> None:
    starts = []
    # The best of three: a busy machine is not this test's subject.
    for _ in range(3):
        started = time.monotonic()
        with Simulator("awkward") as sim:
            starts.append(time.monotonic() - started)
            reach(vars(sim) | {"authority": sim.authority.replace("127.0.0.1", "localhost")})
    assert min(starts) < 0.5


def test_it_listens_on_the_loopback_only() -> None:
    with pytest.raises(ValueError, match="listens on"):
        Simulator("empty", host="0.0.0.0")  # noqa: S104


def test_a_taken_port_is_an_error(sim: Any) -> None:
    with pytest.raises(OSError, match="in use"):
        Simulator("empty", port=int(sim.url.rsplit(":", 1)[1])).start()


@pytest.fixture
def control(client: Any) -> Any:
    def call(method: str, path: str, body: Any = None) -> Any:
        answer = client.ask(method, f"/_sim/{path}", json=body)
        answer.raise_for_status()
        return answer.json()

    return call


def test_every_method_is_a_call_and_the_other_way_round() -> None:
    methods = {name for name in vars(Control) if not name.startswith("_")}
    assert methods == {*ROUTES.values(), "delete", "dispatch"}


def test_data_over_http(control: Any, client: Any) -> None:
    assert control("POST", "reset", {"dataset": "disaster"})["referrals"] == 250
    client.token = control("POST", "token", {})["access_token"]
    assert control("POST", "seed", {"referrals": [{"id": "a", "eTag": '"1"'}, {"id": "b"}]}) == {"referrals": 2}
    assert control("POST", "upsert", {"referral": {"id": "c", "name": "new"}})["id"] == "c"
    changed = control("POST", "patch", {"id": "a", "changes": {"name": "changed"}})
    assert changed["name"] == "changed"
    assert changed["eTag"] != '"1"'
    fixed = {"updatedDateTime": "2026-01-01T00:00:00Z"}
    assert control("POST", "patch", {"id": "b", "changes": fixed})["updatedDateTime"] == fixed["updatedDateTime"]
    assert control("DELETE", "referrals/b") == {"deleted": "b"}
    assert client.ids() == ["a", "c"]
    control("POST", "seed-raw", {"rows": [r'{"id":"d","name":"\ud800"}', "{broken"]})
    assert client.get().content.endswith(rb'"value":[{"id":"d","name":"\ud800"},{broken]}')


def test_switches_over_http(control: Any, client: Any) -> None:
    before = control("GET", "state")["now"]
    assert control("POST", "clock", {"advance_seconds": 3600})["now"] > before
    assert control("POST", "settings", {"page_size": 7})["page_size"] == 7
    assert control("GET", "settings")["paging"] == "https-full"
    assert control("POST", "faults", [{"kind": "429", "times": 1}]) == {"faults": 1}
    assert control("GET", "state")["faults"][0]["kind"] == "429"
    assert client.get().status_code == 429
    assert control("GET", "requests")[0]["status"] == 429
    assert control("POST", "requests/clear") == {}
    assert control("POST", "approve", {"user_code": "NOBODY"}) == {"approved": 0}
    assert control("POST", "deny", {}) == {"denied": 0}
    assert control("POST", "revoke", {"what": "all"})["revoked"] == 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "nonsense", None),
        ("POST", "settings", {"nonsense": 1}),
        ("POST", "settings", {"paging": "sideways"}),
        ("POST", "settings", {"mfa": "percent:500"}),
        ("POST", "settings", {"page_size": 0}),
        ("POST", "settings", {"interval": "soon"}),
        ("POST", "settings", {"scope_echo": 1}),
        ("POST", "revoke", {"what": "nothing"}),
        ("POST", "clock", {}),
        ("POST", "seed", {"dataset": "nonsense"}),
        ("POST", "patch", {"id": "x", "changes": {}}),
        ("POST", "faults", [{"kind": "nonsense"}]),
        ("DELETE", "referrals/x", None),
    ],
)
def test_a_wrong_call_is_refused_with_a_reason(client: Any, method: str, path: str, body: Any) -> None:
    answer = client.ask(method, f"/_sim/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
