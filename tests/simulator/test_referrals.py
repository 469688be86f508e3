"""One referral: read, create, replace, patch; tokens, roles and the shape of refusals."""

from __future__ import annotations

from typing import Any

import pytest

COLLECTION = "/v1.0/engagements/referrals"
ONE = f"{COLLECTION}/{0:08d}-0000-4000-8000-000000000000"
NEW = {
    "type": "Shared",
    "customerProfile": {"name": "X"},
    "consent": {"consentToContact": True},
    "details": {"notes": ""},
}


def test_one_referral_comes_with_its_etag(client: Any, seeded: Any) -> None:
    seeded(1)
    answer = client.get(ONE, headers={"client-request-id": "abc"})
    assert answer.status_code == 200
    assert answer.json()["@odata.context"].endswith("#Referrals/$entity")
    assert answer.headers["etag"] == answer.json()["eTag"] == '"0"'
    assert answer.headers["client-request-id"] == "abc"
    assert {"request-id", "timestamp"} <= answer.headers.keys()


def test_what_is_not_there_is_item_not_found(client: Any) -> None:
    answer = client.get(ONE)
    assert answer.status_code == 404
    assert answer.json() == {
        "error": {"code": "itemNotFound", "message": "There is no such referral.", "target": "referral"}
    }


@pytest.mark.parametrize(
    ("direction", "status"), [("Outgoing", ("Active", "Accepted")), ("Incoming", ("New", "Pending"))]
)
def test_a_created_referral_is_there(client: Any, direction: str, status: tuple) -> None:
    answer = client.ask("POST", COLLECTION, json=NEW | {"direction": direction})
    assert answer.status_code == 201
    created = client.get(answer.headers["location"]).json()
    assert (created["status"], created["substatus"]) == status
    assert client.ids() == [created["id"]]


@pytest.mark.parametrize("name", ["type", "customerProfile", "consent", "details"])
def test_a_created_referral_needs_four_parts(client: Any, name: str) -> None:
    body = {key: value for key, value in NEW.items() if key != name}
    assert client.ask("POST", COLLECTION, json=body).status_code == 400


def test_put_needs_the_current_etag_and_no_links(client: Any, seeded: Any) -> None:
    seeded(1)
    row = client.get(ONE).json()
    assert client.ask("PUT", ONE, json=row).status_code == 400
    stale = client.ask("PUT", ONE, json=row, headers={"if-match": '"x"'})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "preconditionFailed")
    tag = {"if-match": row["eTag"]}
    assert client.ask("PUT", ONE, json=row | {"links": {}}, headers=tag).status_code == 400
    answer = client.ask("PUT", ONE, json=row | {"externalReferenceId": "crm:1"}, headers=tag)
    assert answer.json()["externalReferenceId"] == "crm:1"
    assert answer.json()["eTag"] != row["eTag"]
    assert answer.json()["updatedDateTime"] > row["updatedDateTime"]


def test_patch_accepts_and_appends(client: Any, seeded: Any) -> None:
    seeded(1, team=[])
    operations = [
        {"op": "replace", "path": "/status", "value": "Active"},
        {"op": "replace", "path": "/substatus", "value": "Accepted"},
        {"op": "add", "path": "/externalReferenceId", "value": "crm:1"},
        {"op": "add", "path": "/team/-", "value": {"firstName": "Mia"}},
        {"op": "replace", "path": "/team/0/firstName", "value": "Pia"},
    ]
    assert client.ask("PATCH", ONE, json=operations).status_code == 204
    asked = {"prefer": "return=representation"}
    answer = client.ask("PATCH", ONE, json=operations[2:3], headers=asked)
    assert answer.status_code == 200
    assert answer.json()["team"] == [{"firstName": "Pia"}]
    assert answer.json()["status"] == "Active"


@pytest.mark.parametrize(
    "operations",
    [
        [],
        {},
        [{"op": "remove", "path": "/status", "value": 1}],
        [{"op": "replace", "path": "/status"}],
        [{"op": "replace", "path": "/nothing", "value": 1}],
        [{"op": "replace", "path": "/nothing/below", "value": 1}],
        [{"op": "replace", "path": "/team/7", "value": 1}],
        [{"op": "replace", "path": "status", "value": "New"}],
        [{"op": "replace", "path": "/id", "value": "x"}],
        [{"op": "replace", "path": "/status", "value": "Active"}],
        [{"op": "replace", "path": "/status", "value": "Lost"}],
        [{"op": "replace", "path": "/substatus", "value": "Won"}],
    ],
)
def test_patch_refuses_what_the_api_does_not_take(client: Any, seeded: Any, operations: Any) -> None:
    seeded(1, team=[])
    assert client.ask("PATCH", ONE, json=operations).status_code == 400
    assert client.get(ONE).json()["eTag"] == '"0"'


def test_a_closed_referral_stays_closed(client: Any, seeded: Any) -> None:
    seeded(1, status="Closed", substatus="Won")
    change = [
        {"op": "replace", "path": "/status", "value": "Active"},
        {"op": "replace", "path": "/substatus", "value": "Accepted"},
    ]
    assert client.ask("PATCH", ONE, json=change).status_code == 400


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer invented", "Basic eDp5"])
def test_a_token_of_this_login_is_needed(client: Any, header: str | None) -> None:
    answer = client.get(headers={"authorization": header})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")


def test_a_token_for_something_else_is_refused(client: Any, sim: Any) -> None:
    client.token = sim.control.token(scope="https://graph.microsoft.com/.default")["access_token"]
    assert client.get().status_code == 401


def test_a_token_expires_and_can_be_revoked(client: Any, sim: Any) -> None:
    assert client.get().status_code == 200
    sim.control.clock(advance_seconds=3601)
    assert client.get().status_code == 401
    client.token = sim.control.token()["access_token"]
    assert client.get().status_code == 200
    sim.control.revoke(what="access")
    assert client.get().status_code == 401


def test_strict_mode_asks_for_a_request_id(client: Any, sim: Any) -> None:
    without = {"client-request-id": None}
    assert client.get(headers=without).status_code == 200
    sim.control.settings(strict_request_id=True)
    assert client.get(headers=without).status_code == 400
    assert client.get().status_code == 200


def test_mfa_modes(client: Any, sim: Any) -> None:
    sim.control.settings(mfa="enforce")
    assert client.get().status_code == 200
    sim.control.settings(mfa_in_token=False)
    client.token = sim.control.token()["access_token"]
    answer = client.get()
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "900421")
    sim.control.settings(mfa="report")
    assert client.get().headers["isMfaCompliant"] == "false"
    sim.control.settings(mfa="percent:50")
    assert sorted(client.get().status_code for _ in range(4)) == [200, 200, 401, 401]
