"""What goes wrong on demand, as a client sees it."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

COLLECTION = "/v1.0/engagements/referrals"


@pytest.mark.parametrize(
    ("fault", "status", "needle"),
    [
        ({"kind": "html502"}, 502, "<h1>502 Bad Gateway"),
        ({"kind": "html200"}, 200, "Sign in to your account"),
        ({"kind": "status", "status": 503}, 503, '"serviceNotAvailable"'),
        ({"kind": "status", "status": 500, "body": ""}, 500, ""),
        ({"kind": "status", "status": 200, "body": {"value": None}}, 200, '{"value":null}'),
        ({"kind": "429"}, 429, '"generalException"'),
        ({"kind": "401"}, 401, '"unauthenticated"'),
        ({"kind": "401-mfa"}, 401, '"code":"900421"'),
        ({"kind": "401-mfa", "variant": "number"}, 401, '"code":900421'),
        ({"kind": "401-mfa", "variant": "csp"}, 401, '"description"'),
        ({"kind": "403-role"}, 403, '"roleMissing"'),
        ({"kind": "403-claims"}, 403, '"insufficent_claims"'),
        ({"kind": "412"}, 412, '"preconditionFailed"'),
        ({"kind": "expired-skiptoken"}, 410, '"gone"'),
        ({"kind": "expired-skiptoken", "status": 400}, 400, '"invalidRequest"'),
    ],
)
def test_a_canned_answer(client: Any, sim: Any, fault: dict, status: int, needle: str) -> None:
    sim.control.faults([fault | {"times": 1}])
    answer = client.get()
    assert answer.status_code == status
    assert needle in answer.text
    assert client.get().status_code == 200


def test_a_claims_challenge_is_in_the_header(client: Any, sim: Any) -> None:
    sim.control.faults([{"kind": "403-claims"}])
    assert 'claims="eyJ' in client.get().headers["www-authenticate"]


@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_cut_stream_is_no_answer(client: Any, sim: Any, seeded: Any, kind: str) -> None:
    seeded(50)
    sim.control.faults([{"kind": kind, "times": 1}])
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.get()
    assert len(client.get().json()["value"]) == 50


def test_a_reset_is_a_reset(client: Any, sim: Any) -> None:
    sim.control.faults([{"kind": "reset"}])
    with pytest.raises(ConnectionResetError):
        client.raw(COLLECTION)


def test_latency_only_delays(client: Any, sim: Any) -> None:
    sim.control.faults([{"kind": "latency", "seconds": 0.2}])
    started = time.monotonic()
    assert client.get().status_code == 200
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("given", ["2", "Wed, 25 Nov 2026 10:00:00 GMT", "soon", "-1"])
def test_retry_after_is_sent_as_given(client: Any, sim: Any, given: str) -> None:
    sim.control.faults([{"kind": "429", "retry_after": given}])
    assert client.get().headers["retry-after"] == given


def test_retry_after_can_be_a_date_from_now(client: Any, sim: Any) -> None:
    sim.control.faults([{"kind": "status", "status": 503, "seconds_from_now": 30}])
    date = parsedate_to_datetime(client.get().headers["retry-after"]).timestamp()
    assert 28 <= date - time.time() <= 30


def test_a_fault_can_wait_for_a_page(client: Any, sim: Any, seeded: Any) -> None:
    seeded(6)
    sim.control.faults([{"kind": "status", "status": 503, "page": 2, "times": 1}])
    listing = client.pages("$top=2")
    next(listing)
    with pytest.raises(requests.HTTPError):
        next(listing)
    log = sim.control.requests()
    assert [(line["page"], line["status"], line["fault"]) for line in log] == [
        (1, 200, None),
        (2, 503, "status"),
    ]
    assert len(client.ids("$top=2")) == 6


def test_a_fault_can_be_for_one_method(client: Any, sim: Any, seeded: Any) -> None:
    seeded(1)
    sim.control.faults([{"kind": "412", "method": "PATCH"}])
    one = f"{COLLECTION}/{0:08d}-0000-4000-8000-000000000000"
    assert client.get(one).status_code == 200
    change = [{"op": "add", "path": "/name", "value": "x"}]
    assert client.ask("PATCH", one, json=change).status_code == 412


def test_an_expired_skiptoken_stays_expired(client: Any, sim: Any, seeded: Any) -> None:
    seeded(6)
    sim.control.faults([{"kind": "expired-skiptoken", "page": 2, "times": 1}])
    link = client.get(f"{COLLECTION}?$top=2").json()["@odata.nextLink"]
    assert [client.get(link).status_code for _ in range(2)] == [410, 410]
    assert len(client.ids("$top=2")) == 6


@pytest.mark.parametrize("fault", [{"kind": "nonsense"}, {}, {"kind": "429", "on": "moon"}])
def test_an_unknown_fault_is_refused(sim: Any, fault: dict) -> None:
    with pytest.raises(ValueError, match="A fault has a kind"):
        sim.control.faults([fault])
