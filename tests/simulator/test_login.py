"""The login, end to end with MSAL."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import threading
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msal
import pytest
import requests

SCOPE = "https://api.partner.microsoft.com/.default"
ONCE: dict[str, Any] = {"exit_condition": lambda _flow: True}
REDIRECT = "http://localhost:8400/back"


def sign_in(sim: Any, app: Any) -> dict[str, Any]:
    flow = app.initiate_device_flow([SCOPE])
    sim.control.approve(user_code=flow["user_code"])
    return app.acquire_token_by_device_flow(flow, **ONCE)


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def grants(sim: Any) -> dict[str, int]:
    return sim.control.state()["token_calls"]


def test_device_code_end_to_end(sim: Any, client: Any, make_app: Any) -> None:
    app = make_app()
    flow = app.initiate_device_flow([SCOPE])
    assert flow["verification_uri"] == f"{sim.url}/device"
    pending = app.acquire_token_by_device_flow(flow, **ONCE)
    assert (pending["error"], pending["error_codes"]) == ("authorization_pending", [70016])
    form = {"user_code": flow["user_code"].lower(), "decision": "approve"}
    assert "signed in" in client.ask("POST", "/device", data=form).text
    answer = app.acquire_token_by_device_flow(flow, **ONCE)
    client.token = answer["access_token"]
    assert client.get().status_code == 200
    found = claims(answer["access_token"])
    assert found["aud"] == "https://api.partner.microsoft.com"
    assert found["tid"] == sim.tenant
    assert found["amr"] == ["pwd", "mfa"]
    assert found["scp"] == "user_impersonation"
    assert answer["id_token_claims"]["preferred_username"] == app.get_accounts()[0]["username"] == found["upn"]
    assert app.acquire_token_by_device_flow(flow, **ONCE)["error"] == "bad_verification_code"


def test_msal_polls_until_the_person_is_done(sim: Any, make_app: Any) -> None:
    app = make_app()
    flow = app.initiate_device_flow([SCOPE])
    threading.Timer(0.3, sim.control.approve).start()
    assert "access_token" in app.acquire_token_by_device_flow(flow)
    assert grants(sim)["device_code"] == 2


def test_silent_use_needs_no_request_while_the_token_is_fresh(sim: Any, make_app: Any) -> None:
    app = make_app()
    sign_in(sim, app)
    (account,) = app.get_accounts()
    assert "access_token" in app.acquire_token_silent_with_error([SCOPE], account)
    assert grants(sim) == {"device_code": 1}


def test_without_the_echo_of_the_scope_every_silent_use_refreshes(sim: Any, make_app: Any) -> None:
    sim.control.settings(scope_echo=False)
    app = make_app()
    sign_in(sim, app)
    for _ in range(2):
        app.acquire_token_silent_with_error([SCOPE], app.get_accounts()[0])
    assert grants(sim) == {"device_code": 1, "refresh_token": 2}
    assert [found["rule"] for found in sim.control.violations()] == ["needless_refresh"] * 2


@pytest.mark.parametrize(("mode", "kept"), [("rotate", False), ("no-rotate", True)])
def test_rotation_of_refresh_tokens(sim: Any, make_app: Any, mode: str, kept: bool) -> None:
    sim.control.settings(rotation=mode)
    app = make_app()
    old = sign_in(sim, app)["refresh_token"]
    app.acquire_token_silent_with_error([SCOPE], app.get_accounts()[0], force_refresh=True)
    stored = next(iter(app.token_cache.search("RefreshToken")))["secret"]
    assert (stored == old) is kept
    assert "access_token" in make_app().acquire_token_by_refresh_token(old, [SCOPE])
    rules = {found["rule"] for found in sim.control.violations()}
    assert ("old_refresh_token" in rules) is not kept


def test_strict_rotation_catches_a_lost_write(sim: Any, make_app: Any) -> None:
    sim.control.settings(rotation="rotate-and-revoke-old")
    app = make_app()
    old = sign_in(sim, app)["refresh_token"]
    app.acquire_token_silent_with_error([SCOPE], app.get_accounts()[0], force_refresh=True)
    answer = make_app().acquire_token_by_refresh_token(old, [SCOPE])
    assert (answer["error"], answer["error_codes"], answer["suberror"]) == (
        "invalid_grant",
        [50173],
        "bad_token",
    )


def test_refresh_tokens_age_and_can_be_revoked(sim: Any, make_app: Any) -> None:
    old = sign_in(sim, make_app())["refresh_token"]
    sim.control.clock(advance_seconds=91 * 86400)
    answer = make_app().acquire_token_by_refresh_token(old, [SCOPE])
    assert (answer["error_codes"], answer["suberror"]) == ([700082], "token_expired")
    fresh = sign_in(sim, make_app())["refresh_token"]
    sim.control.revoke(what="refresh")
    assert make_app().acquire_token_by_refresh_token(fresh, [SCOPE])["error_codes"] == [50173]


def test_a_refresh_can_be_refused_by_suberror_and_code(sim: Any, make_app: Any) -> None:
    app = make_app()
    sign_in(sim, app)
    fault = {"on": "token", "grant": "refresh_token", "kind": "oauth-error", "error": "interaction_required"}
    sim.control.faults([fault | {"suberror": "basic_action", "code": 50076, "text": "MFA.", "claims": "{}"}])
    answer = app.acquire_token_silent_with_error([SCOPE], app.get_accounts()[0], force_refresh=True)
    assert (answer["error"], answer["suberror"], answer["error_codes"]) == (
        "interaction_required",
        "basic_action",
        [50076],
    )
    assert answer["error_description"] == "AADSTS50076: MFA."
    assert answer["classification"] == "basic_action"


def test_the_login_can_be_down(sim: Any, make_app: Any) -> None:
    sim.control.faults([{"on": "openid", "kind": "html502", "times": 1}])
    with pytest.raises(msal.exceptions.MsalServiceError):
        make_app()
    sim.control.faults([{"on": "devicecode", "kind": "reset", "times": 1}])
    with pytest.raises(requests.ConnectionError):
        make_app().initiate_device_flow([SCOPE])


@pytest.mark.parametrize(
    ("switches", "action", "error"),
    [
        ({}, lambda sim: sim.control.deny(), "authorization_declined"),
        ({}, lambda sim: sim.control.clock(advance_seconds=901), "expired_token"),
        ({"conditional_access_block": True}, lambda sim: sim.control.approve(), "authorization_pending"),
    ],
)
def test_a_device_sign_in_can_fail(sim: Any, make_app: Any, switches: dict, action: Any, error: str) -> None:
    sim.control.settings(**switches)
    app = make_app()
    flow = app.initiate_device_flow([SCOPE])
    action(sim)
    assert app.acquire_token_by_device_flow(flow, **ONCE)["error"] == error


@pytest.mark.filterwarnings("ignore:Attempted too soon")
def test_polling_faster_than_the_interval_is_slowed_down(sim: Any, make_app: Any) -> None:
    sim.control.settings(enforce_interval=True, interval=5)
    app = make_app()
    flow = app.initiate_device_flow([SCOPE])
    errors = [app.acquire_token_by_device_flow(flow, **ONCE)["error"] for _ in range(2)]
    sim.control.clock(advance_seconds=5)
    errors.append(app.acquire_token_by_device_flow(flow, **ONCE)["error"])
    assert errors == ["authorization_pending", "slow_down", "authorization_pending"]


@pytest.mark.parametrize(
    ("switches", "options", "scope", "error"),
    [
        ({}, {"client_id": "unknown"}, SCOPE, ("unauthorized_client", 700016)),
        ({"public_client": False}, {}, SCOPE, ("invalid_client", 7000218)),
        ({}, {}, "nonsense", ("invalid_scope", 70011)),
    ],
)
def test_a_wrong_configuration_is_named(
    sim: Any, make_app: Any, switches: dict, options: dict, scope: str, error: tuple
) -> None:
    sim.control.settings(**switches)
    flow = make_app(**options).initiate_device_flow([scope])
    assert "user_code" not in flow
    assert (flow["error"], flow["error_codes"][0]) == error


def test_an_unknown_tenant_is_refused(sim: Any, make_app: Any) -> None:
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        make_app(authority=f"{sim.url}/other-tenant")


def test_no_refresh_token_means_signed_in_for_an_hour(sim: Any, make_app: Any) -> None:
    sim.control.settings(refresh_token=False)
    app = make_app()
    assert "refresh_token" not in sign_in(sim, app)
    assert app.acquire_token_silent_with_error([SCOPE], app.get_accounts()[0], force_refresh=True) is None


def test_refresh_in_lets_msal_refresh_ahead_of_time(sim: Any, make_app: Any) -> None:
    sim.control.settings(refresh_in=0)
    app = make_app()
    sign_in(sim, app)
    app.acquire_token_silent_with_error([SCOPE], app.get_accounts()[0])
    assert grants(sim)["refresh_token"] == 1
    assert sim.control.violations() == []


def test_instance_discovery_knows_this_host_only(sim: Any, client: Any) -> None:
    host = urlsplit(sim.url).netloc
    old = client.get("/common/discovery/instance?api-version=1.0").json()
    assert old == {"tenant_discovery_endpoint": f"{sim.authority}/v2.0/.well-known/openid-configuration"}
    new = client.get("/common/discovery/instance?api-version=1.1").json()
    assert new["metadata"][0]["aliases"] == [host]


def browse(client: Any, flow: dict, decision: str) -> requests.Response:
    assert "Approve" in client.get(flow["auth_uri"]).text
    return client.ask("POST", flow["auth_uri"], data={"decision": decision}, allow_redirects=False)


def test_authorization_code_with_pkce_end_to_end(sim: Any, client: Any, make_app: Any) -> None:
    app = make_app()
    flow = app.initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT, response_mode="form_post")
    assert 'name="code"' in browse(client, flow, "approve").text
    with pytest.warns(UserWarning, match="form_post"):
        flow = app.initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT)
    back = browse(client, flow, "approve").headers["location"]
    assert back.startswith(f"{REDIRECT}?")
    given = dict(parse_qsl(urlsplit(back).query))
    answer = app.acquire_token_by_auth_code_flow(flow, given)
    assert "refresh_token" in answer
    assert make_app().acquire_token_by_auth_code_flow(flow, given)["error_codes"] == [70008]


def test_the_code_is_worth_nothing_without_its_verifier(client: Any, make_app: Any) -> None:
    app = make_app()
    with pytest.warns(UserWarning, match="form_post"):
        flow = app.initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT)
    given = dict(parse_qsl(urlsplit(browse(client, flow, "approve").headers["location"]).query))
    answer = app.acquire_token_by_auth_code_flow(flow | {"code_verifier": "x" * 43}, given)
    assert answer["error_codes"] == [50148]


@pytest.fixture
def flow_and_answer(sim: Any, client: Any, make_app: Any) -> Any:
    """Give a begun browser sign-in and what the browser brings back."""
    app = make_app()
    flow = app.initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT, response_mode="form_post")
    sim.control.settings(auto_approve=True)
    fields = re.findall(r'name="(\w+)" value="([^"]*)"', client.get(flow["auth_uri"]).text)
    return flow, {name: html.unescape(value) for name, value in fields}


def test_the_nonce_comes_back_as_it_was_sent(make_app: Any, flow_and_answer: Any) -> None:
    flow, answer = flow_and_answer
    nonce = make_app().acquire_token_by_auth_code_flow(flow, answer)["id_token_claims"]["nonce"]
    assert nonce == hashlib.sha256(flow["nonce"].encode()).hexdigest()


def test_the_nonce_can_be_wrong(sim: Any, make_app: Any, flow_and_answer: Any) -> None:
    sim.control.settings(wrong_nonce=True)
    with pytest.raises(RuntimeError, match="nonce"):
        make_app().acquire_token_by_auth_code_flow(*flow_and_answer)


@pytest.mark.parametrize(
    ("given", "number"),
    [({"client_credential": "öpen+sesame/"}, None), ({"client_credential": "wrong"}, 7000215), ({}, 7000218)],
)
def test_a_client_secret_can_be_demanded(
    sim: Any, make_app: Any, flow_and_answer: Any, given: dict[str, str], number: int | None
) -> None:
    sim.control.settings(client_secret="öpen+sesame/")
    kind = msal.ConfidentialClientApplication if given else msal.PublicClientApplication
    answer = make_app(kind=kind, **given).acquire_token_by_auth_code_flow(*flow_and_answer)
    assert ("access_token" in answer) is (number is None)
    assert answer.get("error_codes") == (None if number is None else [number])
    assert answer.get("error") == (None if number is None else "invalid_client")


def test_a_client_secret_may_stand_in_the_form(sim: Any, client: Any) -> None:
    sim.control.settings(client_secret="wanted")
    form = {"client_id": sim.client_id, "client_secret": "wanted", "grant_type": "refresh_token"}
    answer = client.ask("POST", f"{sim.authority}/oauth2/v2.0/token", data=form, headers={"authorization": None})
    assert answer.json()["error_codes"] == [9002313]


def test_nobody_is_asked_when_approval_is_automatic(sim: Any, client: Any, make_app: Any) -> None:
    sim.control.settings(auto_approve=True)
    app = make_app()
    assert "access_token" in app.acquire_token_by_device_flow(app.initiate_device_flow([SCOPE]), **ONCE)
    with pytest.warns(UserWarning, match="form_post"):
        flow = app.initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT)
    assert client.get(flow["auth_uri"], allow_redirects=False).headers["location"].startswith(REDIRECT)


def test_a_declined_browser_sign_in_says_so(client: Any, make_app: Any) -> None:
    app = make_app()
    with pytest.warns(UserWarning, match="form_post"):
        flow = app.initiate_auth_code_flow([SCOPE], redirect_uri=REDIRECT)
    given = dict(parse_qsl(urlsplit(browse(client, flow, "deny").headers["location"]).query))
    assert app.acquire_token_by_auth_code_flow(flow, given)["error"] == "access_denied"


def test_the_cache_survives_a_round_trip(sim: Any, make_app: Any) -> None:
    cache = msal.SerializableTokenCache()
    sign_in(sim, make_app(cache))
    again = msal.SerializableTokenCache()
    again.deserialize(cache.serialize())
    app = make_app(again)
    assert "access_token" in app.acquire_token_silent_with_error([SCOPE], app.get_accounts()[0])
