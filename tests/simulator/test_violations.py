"""The rules that a good client keeps, and the request log."""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest

COLLECTION = "/v1.0/engagements/referrals"
FIRST = "$filter=direction eq 'Incoming'&$orderby=updatedDateTime&$top=2"
SCOPE = "https://api.partner.microsoft.com/.default"
ONCE: dict[str, Any] = {"exit_condition": lambda _flow: True}


def rules(sim: Any) -> list[str]:
    return [found["rule"] for found in sim.control.violations()]


def test_a_good_client_breaks_no_rule(client: Any, sim: Any, seeded: Any, make_app: Any) -> None:
    seeded(5)
    assert len(client.ids(FIRST)) == 5
    app = make_app()
    flow = app.initiate_device_flow([SCOPE])
    sim.control.approve(user_code=flow["user_code"])
    app.acquire_token_by_device_flow(flow, **ONCE)
    sim.control.revoke(what="access")
    assert client.get(f"{COLLECTION}?{FIRST}").status_code == 401
    app.acquire_token_silent_with_error([SCOPE], app.get_accounts()[0], force_refresh=True)
    sim.control.clock(advance_seconds=3400)
    app.acquire_token_silent_with_error([SCOPE], app.get_accounts()[0], force_refresh=True)
    assert rules(sim) == []


def test_request_ids_are_there_and_fresh(client: Any, sim: Any) -> None:
    for name in ("a", "b", "a", None):
        client.get(f"{COLLECTION}?{FIRST}", headers={"client-request-id": name})
    assert rules(sim) == ["client_request_id", "client_request_id"]


def test_the_first_page_carries_its_options(client: Any, sim: Any) -> None:
    client.get(f"{COLLECTION}?$top=5")
    (found,) = sim.control.violations()
    assert (found["rule"], found["text"]) == ("first_page", "The first page came without $filter, $orderby.")


def test_parallel_requests_are_seen(client: Any, sim: Any) -> None:
    sim.control.faults([{"kind": "latency", "seconds": 0.3, "times": 1}])
    slow = threading.Thread(target=client.raw, args=(f"{COLLECTION}?$filter=favorite&$orderby=x&$top=1",))
    slow.start()
    while not sim.control.requests():
        time.sleep(0.005)
    client.get(f"{COLLECTION}?{FIRST}")
    slow.join()
    assert "parallel" in rules(sim)
    assert [line["concurrency"] for line in sim.control.requests()] == [1, 2]


@pytest.mark.parametrize(("waited", "found"), [(1, ["retry_after"]), (3, [])])
def test_retry_after_is_to_be_waited_for(client: Any, sim: Any, waited: int, found: list) -> None:
    sim.control.faults([{"kind": "429", "retry_after": "2", "times": 1}])
    client.get(f"{COLLECTION}?{FIRST}")
    sim.control.clock(advance_seconds=waited)
    client.get(f"{COLLECTION}?{FIRST}")
    assert rules(sim) == found


def test_a_token_that_goes_to_another_host_is_seen(client: Any, sim: Any, seeded: Any) -> None:
    seeded(5)
    sim.control.settings(paging="foreign-host")
    link = client.get(f"{COLLECTION}?{FIRST}").json()["@odata.nextLink"]
    assert client.get(link, headers={"authorization": None}).status_code == 401
    assert "foreign_host" not in rules(sim)
    assert client.get(link).status_code == 200
    assert "foreign_host" in rules(sim)


def test_plain_http_is_seen(sim: Any) -> None:
    url = urlsplit(sim.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
    connection.request("GET", COLLECTION)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()
    connection.close()
    assert rules(sim) == ["plain_http"]


def test_one_401_is_worth_one_refresh(client: Any, sim: Any, make_app: Any) -> None:
    first = sim.control.token()["refresh_token"]
    sim.control.revoke(what="access")
    client.get(f"{COLLECTION}?{FIRST}")
    second = make_app().acquire_token_by_refresh_token(first, [SCOPE])["refresh_token"]
    assert rules(sim) == []
    make_app().acquire_token_by_refresh_token(second, [SCOPE])
    assert rules(sim) == ["refresh_per_401"]


def test_the_log_tells_all_but_the_token(client: Any, sim: Any, seeded: Any, make_app: Any) -> None:
    seeded(3)
    name = str(uuid.uuid4())
    client.get(f"{COLLECTION}?$top=2", headers={"client-request-id": name, "accept": "application/json"})
    app = make_app()
    flow = app.initiate_device_flow([SCOPE])
    sim.control.approve()
    answer = app.acquire_token_by_device_flow(flow, **ONCE)
    log = sim.control.requests()
    line = log[0]
    assert (line["method"], line["path"], line["query"]) == ("GET", COLLECTION, "$top=2")
    assert (line["status"], line["page"], line["bearer"], line["concurrency"]) == (200, 1, True, 1)
    assert line["client_request_id"] == line["headers"]["client-request-id"] == name
    assert [line["grant"] for line in log] == [None, None, None, "device_code"]
    text = json.dumps(log) + json.dumps(sim.control.violations()) + json.dumps(sim.control.state())
    secrets = [client.token, answer["access_token"], answer["refresh_token"], flow["device_code"]]
    assert not [secret for secret in secrets if secret in text]


def test_the_log_can_be_cleared(client: Any, sim: Any) -> None:
    client.get()
    sim.control.clear_requests()
    sim.control.clear_violations()
    assert sim.control.requests() == sim.control.violations() == []
