"""Signing in and staying signed in: the real MSAL against the simulator's login over TLS, the cache in memory."""

import json
import logging
import time
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import trustme

from partner_center import auth, token_claims
from partner_center.auth import BearerAuth, TokenSource
from partner_center.errors import (
    ApiUnavailable,
    ConfigurationError,
    SignInRequired,
    UnsafeNextLink,
    VariableUnreadable,
)
from partner_center.settings import resolve
from partner_center.token_cache import StoredTokenCache
from simulator.tokens import jwt
from tests.conftest import connection_to
from tests.support.memory_store import MemoryStore

TOKEN_PATH = "/oauth2/v2.0/token"
CALLBACK = "https://airflow.example/partner-center/sign-in/callback"


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def settings(simulator):
    """Give the settings that lead to the simulator; they can be changed by name."""

    def make(password=None, **changes):
        extra = {**connection_to(simulator)["extra"], **changes}
        return resolve(host=simulator.url, port=None, schema=None, extra=extra, env={}, password=password)

    return make


@pytest.fixture
def source(settings, store):
    """Give a new source over the same store, as every task makes one; settings can be changed by name."""

    def make(**changes):
        return TokenSource(settings(**changes), StoredTokenCache(store))

    return make


@pytest.fixture
def signed_in_source(simulator, source):
    simulator.control.settings(auto_approve=True)
    tokens = source()
    tokens.finish_device_flow(tokens.start_device_flow())
    simulator.control.clear_requests()
    return source


def token_calls(simulator):
    return [each for each in simulator.control.requests() if each["path"].endswith(TOKEN_PATH)]


def expire_access_tokens(store):
    """Let the kept access tokens end a second ago, as time would."""
    cache = json.loads(store.text)
    for entry in cache["AccessToken"].values():
        entry["expires_on"] = str(int(time.time()) - 1)
    store.text = json.dumps(cache)


# Device code


def test_a_person_signs_in_by_device_code(simulator, source, store):
    tokens = source()
    flow = tokens.start_device_flow()
    assert flow["verification_uri"] == f"{simulator.url}/device"
    assert tokens.poll_device_flow(flow) is None
    assert len(store.writes) == 0
    simulator.control.approve(flow["user_code"])
    token = tokens.finish_device_flow(flow)
    assert token.account == "s***@partner.example"
    assert 3_500 < token.expires_in <= 3_600
    assert len(store.writes) == 1
    assert len(store.secrets("RefreshToken")) == 1
    assert {token.secret, *store.secrets("RefreshToken"), *store.secrets("IdToken")} <= store.masked
    assert source().current().secret == token.secret


def test_waiting_for_a_person_obeys_the_interval(simulator, source, monkeypatch):
    simulator.control.settings(interval=7)
    tokens, pauses = source(), []
    flow = tokens.start_device_flow()

    def sleep(seconds):
        pauses.append(seconds)
        flow["latest_attempt_at"] -= seconds  # or MSAL notices that nobody has waited
        simulator.control.approve()

    monkeypatch.setattr(auth.time, "sleep", sleep)
    tokens.finish_device_flow(flow)
    assert pauses == [7]


def test_a_login_that_says_slow_down_is_asked_less_often(simulator, source):
    simulator.control.settings(interval=1, enforce_interval=True)
    tokens = source()
    flow = tokens.start_device_flow()
    for _ in range(2):
        assert tokens.poll_device_flow(flow) is None
    assert flow["interval"] == 6


def test_a_declined_sign_in_is_told(simulator, source, store):
    tokens = source()
    flow = tokens.start_device_flow()
    simulator.control.deny()
    with pytest.raises(SignInRequired) as caught:
        tokens.finish_device_flow(flow)
    assert caught.value.reason == "declined"
    assert len(store.writes) == 0


def test_a_code_that_ended_is_told(simulator, source):
    tokens = source()
    flow = tokens.start_device_flow()
    simulator.control.clock(1_000)
    with pytest.raises(SignInRequired) as caught:
        tokens.finish_device_flow(flow)
    assert caught.value.reason == "code_expired"


def test_a_code_that_nobody_enters_ends_by_our_clock_too(source):
    tokens = source()
    flow = tokens.start_device_flow()
    flow["expires_at"] = time.time() - 1
    with pytest.raises(SignInRequired) as caught:
        tokens.finish_device_flow(flow)
    assert caught.value.reason == "code_expired"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"error": "invalid_grant", "code": 53003}, "device_code_blocked"),
        ({"error": "invalid_grant", "code": 65001, "suberror": "consent_required"}, "consent_required"),
        ({"error": "invalid_grant", "code": 50105}, "account_refused"),
        ({"error": "access_denied"}, "declined"),
    ],
)
def test_a_refused_sign_in_is_told_with_its_reason(simulator, source, fault, reason):
    tokens = source()
    flow = tokens.start_device_flow()
    simulator.control.faults([{"kind": "oauth-error", "on": "token", **fault}])
    with pytest.raises(SignInRequired) as caught:
        tokens.finish_device_flow(flow)
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", ["html502", "reset", "429"])
def test_a_login_that_stumbles_while_a_person_signs_in_does_not_end_it(simulator, source, short_waits, kind):
    simulator.control.settings(auto_approve=True)
    tokens = source()
    flow = tokens.start_device_flow()
    simulator.control.faults([{"kind": kind, "on": "token", "times": 1, "retry_after": 0}])
    assert tokens.finish_device_flow(flow).secret


def test_a_sign_in_without_refresh_token_is_not_kept(simulator, source, store):
    simulator.control.settings(auto_approve=True, refresh_token=False)
    tokens = source()
    with pytest.raises(SignInRequired) as caught:
        tokens.finish_device_flow(tokens.start_device_flow())
    assert caught.value.reason == "no_refresh_token"
    assert "offline_access" in str(caught.value)
    assert store.text is None


@pytest.mark.parametrize("setting", [{"public_client": False}, {}])
def test_a_wrong_app_registration_is_a_configuration_error(simulator, source, setting):
    simulator.control.settings(**setting)
    changes = {} if setting else {"client_id": "00000000-0000-4000-8000-000000000000"}
    with pytest.raises(ConfigurationError) as caught:
        source(**changes).start_device_flow()
    assert caught.value.reason == ("public_client_disabled" if setting else "app_unknown")
    assert ("AADSTS7000218" if setting else "AADSTS700016") in str(caught.value)


# Silent use


def test_nobody_signed_in_makes_no_call(simulator, source):
    with pytest.raises(SignInRequired) as caught:
        source().current()
    assert caught.value.reason == "not_signed_in"
    assert "partner_center_device_code_flow.py" in str(caught.value)
    assert simulator.control.requests() == []


def test_a_good_token_comes_from_the_cache_without_a_token_call(simulator, signed_in_source, store):
    writes = len(store.writes)
    first, second = signed_in_source().current(), signed_in_source().current()
    assert first.secret == second.secret
    assert token_calls(simulator) == []
    assert len(store.writes) == writes


def test_a_source_asks_its_cache_once(simulator, signed_in_source):
    tokens = signed_in_source()
    secrets = {tokens.current().secret for _ in range(5)}
    assert len(secrets) == 1
    assert len(simulator.control.requests()) <= 1  # the discovery document


@pytest.mark.parametrize(("expires_in", "calls"), [(290, 1), (310, 0)])
def test_a_token_with_less_than_five_minutes_left_is_renewed(simulator, source, store, expires_in, calls):
    simulator.control.settings(auto_approve=True, expires_in=expires_in)
    tokens = source()
    tokens.finish_device_flow(tokens.start_device_flow())
    simulator.control.settings(expires_in=3_600)
    simulator.control.clear_requests()
    writes = len(store.writes)
    token = source().current()
    assert [each["grant"] for each in token_calls(simulator)] == ["refresh_token"] * calls
    assert (token.expires_in > 3_000) is bool(calls)
    assert len(store.writes) - writes == calls


def test_a_source_that_grows_old_renews_its_own_token(simulator, source):
    simulator.control.settings(auto_approve=True, expires_in=200)
    tokens = source()
    old = tokens.finish_device_flow(tokens.start_device_flow())
    simulator.control.settings(expires_in=3_600)
    assert tokens.current().secret != old.secret
    assert len([each for each in token_calls(simulator) if each["grant"] == "refresh_token"]) == 1


def test_renewing_does_not_take_the_cached_token(simulator, signed_in_source, store):
    tokens = signed_in_source()
    old = tokens.current().secret
    new = tokens.renew().secret
    assert new != old
    assert len(token_calls(simulator)) == 1
    assert store.secrets("AccessToken") == [new]
    simulator.control.clear_violations()  # nothing was refused: the renewal was needless, on purpose


def test_every_renewed_refresh_token_is_kept(simulator, signed_in_source, store):
    simulator.control.settings(rotation="rotate-and-revoke-old")
    seen = set(store.secrets("RefreshToken"))
    for number in range(5):
        expire_access_tokens(store)
        simulator.control.clock(3_600)
        assert signed_in_source().current().secret
        seen |= set(store.secrets("RefreshToken"))
        assert len(seen) == number + 2
        assert len(store.secrets("RefreshToken")) == 1
    assert seen <= store.masked


def test_a_login_that_does_not_rotate_serves_as_well(simulator, signed_in_source, store):
    simulator.control.settings(rotation="no-rotate")
    for _ in range(2):
        expire_access_tokens(store)
        simulator.control.clock(3_600)
        assert signed_in_source().current().secret


def test_a_renewal_without_a_new_refresh_token_keeps_the_old_one(simulator, signed_in_source, store):
    kept = store.secrets("RefreshToken")
    simulator.control.settings(refresh_token=False)
    expire_access_tokens(store)
    simulator.control.clock(3_600)
    assert signed_in_source().current().secret
    assert store.secrets("RefreshToken") == kept


# Refusals of the silent renewal: section 10.5 of the login's facts


@pytest.mark.parametrize(
    ("error", "code", "suberror", "reason"),
    [
        ("invalid_grant", 700082, "token_expired", "refresh_expired"),
        ("invalid_grant", 70008, None, "refresh_expired"),
        ("invalid_grant", 70043, None, "refresh_expired"),
        ("invalid_grant", 50173, "bad_token", "refresh_revoked"),
        ("invalid_grant", 50076, "basic_action", "mfa_required"),
        ("interaction_required", 50076, None, "mfa_required"),
        ("invalid_grant", 50079, None, "mfa_required"),
        ("interaction_required", 50074, None, "mfa_required"),
        ("invalid_grant", 53003, "message_only", "conditional_access"),
        ("interaction_required", 53000, None, "conditional_access"),
        ("invalid_grant", 530003, None, "conditional_access"),
        ("invalid_grant", 65001, "consent_required", "consent_required"),
        ("consent_required", 90094, None, "consent_required"),
        ("consent_required", None, None, "consent_required"),
        ("invalid_grant", 50057, None, "account_refused"),
        ("invalid_grant", 50034, None, "account_refused"),
        ("invalid_grant", 50105, None, "account_refused"),
        ("invalid_grant", None, "bad_token", "refresh_revoked"),
        ("invalid_grant", None, "token_expired", "refresh_expired"),
        ("invalid_grant", None, "user_password_expired", "refresh_revoked"),
        ("invalid_grant", None, "basic_action", "mfa_required"),
        ("invalid_grant", None, "additional_action", "mfa_required"),
        ("invalid_grant", None, "protection_policy_required", "conditional_access"),
        ("invalid_grant", None, "device_authentication_failed", "conditional_access"),
        ("invalid_grant", None, "client_mismatch", "sign_in_required"),
        ("invalid_grant", None, None, "sign_in_required"),
        ("invalid_grant", 123456, "new_suberror", "sign_in_required"),
        ("interaction_required", None, None, "sign_in_required"),
        ("some_new_error", None, None, "sign_in_required"),
    ],
)
def test_each_refusal_has_its_reason(simulator, signed_in_source, store, error, code, suberror, reason):
    fault = {"kind": "oauth-error", "on": "token", "grant": "refresh_token", "error": error, "text": "Refused."}
    simulator.control.faults([fault | {"code": code, "suberror": suberror}])
    expire_access_tokens(store)
    with pytest.raises(SignInRequired) as caught:
        signed_in_source().current()
    assert caught.value.reason == reason
    assert "partner_center_device_code_flow.py" in str(caught.value)
    assert code is None or f"AADSTS{code}" in str(caught.value)
    assert len([each for each in token_calls(simulator) if each["grant"] == "refresh_token"]) == 1
    simulator.control.clear_violations()  # the simulated clock did not move, so the renewal looks needless


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("unauthorized_client", 700016),
        ("invalid_client", 7000218),
        ("invalid_request", 90002),
        ("invalid_scope", 70011),
    ],
)
def test_a_refused_app_registration_is_no_sign_in(simulator, signed_in_source, store, error, code):
    simulator.control.faults([{"kind": "oauth-error", "on": "token", "error": error, "code": code, "text": "No."}])
    expire_access_tokens(store)
    with pytest.raises(ConfigurationError, match=f"AADSTS{code}"):
        signed_in_source().current()
    simulator.control.clear_violations()


def test_a_refused_renewal_drops_access_tokens_and_keeps_the_rest(simulator, signed_in_source, store):
    refresh = store.secrets("RefreshToken")
    assert store.secrets("AccessToken")
    simulator.control.revoke("refresh")
    with pytest.raises(SignInRequired) as caught:
        signed_in_source().renew()
    assert caught.value.reason == "refresh_revoked"
    assert store.secrets("AccessToken") == []
    assert store.secrets("RefreshToken") == refresh
    assert json.loads(store.text)["Account"]
    # So the next run does not take the token that the API has refused.
    with pytest.raises(SignInRequired):
        signed_in_source().current()
    simulator.control.clear_violations()


def test_signing_in_again_mends_a_refused_renewal_at_once(simulator, signed_in_source, store):
    simulator.control.revoke("all")
    with pytest.raises(SignInRequired):
        signed_in_source().renew()
    tokens = signed_in_source()
    tokens.finish_device_flow(tokens.start_device_flow())
    assert signed_in_source().current().secret == store.secrets("AccessToken")[0]
    simulator.control.clear_violations()


def test_a_refusal_hides_addresses_and_trace_ids(simulator, signed_in_source, store):
    text = "The user account uwe.lang@contoso.com does not exist. Trace ID: 0b5e55ed Correlation ID: 1 Timestamp: 2"
    simulator.control.faults([{"kind": "oauth-error", "on": "token", "code": 50034, "text": text}])
    expire_access_tokens(store)
    with pytest.raises(SignInRequired) as caught:
        signed_in_source().current()
    assert "uwe.lang" not in str(caught.value)
    assert "Trace ID" not in str(caught.value)
    assert "AADSTS50034: The user account u***@contoso.com does not exist." in str(caught.value)
    simulator.control.clear_violations()


# What a claims challenge asks of the next sign-in

CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


def claims_asked(simulator):
    return {each["path"].rpartition("/")[2]: each["claims"] for each in simulator.control.requests() if each["claims"]}


def refuse_with_claims(simulator, store, source):
    fault = {"on": "token", "error": "interaction_required", "code": 50076, "suberror": "basic_action", "times": 1}
    simulator.control.faults([{"kind": "oauth-error", "claims": CLAIMS, **fault}])
    expire_access_tokens(store)
    with pytest.raises(SignInRequired) as caught:
        source().current()
    assert (caught.value.reason, caught.value.claims) == ("mfa_required", CLAIMS)
    simulator.control.clear_violations()
    simulator.control.clear_requests()


def test_a_claims_challenge_is_carried_into_the_next_sign_in_and_forgotten_after_it(simulator, signed_in_source, store):
    refuse_with_claims(simulator, store, signed_in_source)
    tokens = signed_in_source()
    tokens.finish_device_flow(tokens.start_device_flow())
    assert claims_asked(simulator) == {"devicecode": CLAIMS, "token": CLAIMS}
    assert json.loads(store.state) == {}
    simulator.control.clear_requests()
    tokens.finish_device_flow(tokens.start_device_flow())
    assert claims_asked(simulator) == {}


def test_a_claims_challenge_is_carried_into_a_browser_sign_in(simulator, signed_in_source, store):
    refuse_with_claims(simulator, store, signed_in_source)
    flow = signed_in_source().start_browser_flow(CALLBACK, response_mode="query")
    signed_in_source().finish_browser_flow(flow, visit(simulator, flow["auth_uri"]))
    assert claims_asked(simulator) == {"authorize": CLAIMS, "token": CLAIMS}
    assert json.loads(store.state) == {}


# By browser


def visit(simulator, address):
    """Go to the login's page as a browser does, and return what it sends back with."""
    answer = requests.get(address, verify=simulator.ca, allow_redirects=False, timeout=10)
    assert answer.status_code in {302, 303}, answer.text
    target = urlsplit(answer.headers["Location"])
    assert target.geturl().startswith(CALLBACK)
    return dict(parse_qsl(target.query))


def test_a_person_signs_in_by_browser(simulator, source, store):
    simulator.control.settings(auto_approve=True)
    flow = source().start_browser_flow(CALLBACK, response_mode="query")
    token = source().finish_browser_flow(flow, visit(simulator, flow["auth_uri"]))
    assert token.account == "s***@partner.example"
    assert source().current().secret == token.secret
    assert {flow["code_verifier"], flow["nonce"], *store.secrets("RefreshToken")} <= store.masked


def test_a_code_is_good_once(simulator, source, store):
    simulator.control.settings(auto_approve=True)
    flow = source().start_browser_flow(CALLBACK, response_mode="query")
    answer = visit(simulator, flow["auth_uri"])
    source().finish_browser_flow(flow, answer)
    kept = store.text
    with pytest.raises(SignInRequired) as caught:
        source().finish_browser_flow(flow, answer)
    assert caught.value.reason == "answer_mismatch"
    assert store.text == kept


@pytest.mark.parametrize(
    "change",
    [{"state": "another"}, {"state": ""}, {"code": ""}, {"code": "1.Aforged"}],
    ids=["another state", "no state", "no code", "a forged code"],
)
def test_a_browser_that_brings_something_else_is_refused(simulator, source, store, change):
    simulator.control.settings(auto_approve=True)
    flow = source().start_browser_flow(CALLBACK, response_mode="query")
    answer = {name: value for name, value in {**visit(simulator, flow["auth_uri"]), **change}.items() if value}
    with pytest.raises(SignInRequired) as caught:
        source().finish_browser_flow(flow, answer)
    assert caught.value.reason == "answer_mismatch"
    assert store.text is None


def test_a_code_of_another_flow_is_refused_by_its_verifier(simulator, source, store):
    simulator.control.settings(auto_approve=True)
    ours, theirs = (source().start_browser_flow(CALLBACK, response_mode="query") for _ in range(2))
    answer = {**visit(simulator, theirs["auth_uri"]), "state": ours["state"]}
    with pytest.raises(SignInRequired) as caught:
        source().finish_browser_flow(ours, answer)
    assert caught.value.reason == "answer_mismatch"
    assert "AADSTS50148" in str(caught.value)
    assert store.text is None


def test_a_blocked_browser_sign_in_is_told(simulator, source):
    simulator.control.settings(auto_approve=True, conditional_access_block=True)
    flow = source().start_browser_flow(CALLBACK, response_mode="query")
    with pytest.raises(SignInRequired) as caught:
        source().finish_browser_flow(flow, visit(simulator, flow["auth_uri"]))
    assert caught.value.reason == "conditional_access"


# With a refresh token from elsewhere


def refresh_token_of_elsewhere(simulator, source, store):
    tokens = source()
    simulator.control.settings(auto_approve=True)
    tokens.finish_device_flow(tokens.start_device_flow())
    (secret,) = store.secrets("RefreshToken")
    store.text = None
    simulator.control.clear_requests()
    return secret


def test_a_refresh_token_from_elsewhere_is_redeemed_once_and_lives_in_the_cache(simulator, source, store):
    secret = refresh_token_of_elsewhere(simulator, source, store)
    token = source().adopt(secret)
    assert token.account == "s***@partner.example"
    assert secret in store.masked
    assert store.secrets("RefreshToken") != [secret]
    assert source().current().secret == token.secret
    assert [each["grant"] for each in token_calls(simulator)] == ["refresh_token"]
    simulator.control.clear_violations()  # the token that it came with is good, and elsewhere


def test_a_run_redeems_the_token_that_was_handed_in_where_nobody_is_signed_in(simulator, source, store, settings):
    secret = refresh_token_of_elsewhere(simulator, source, store)
    first = TokenSource(settings(), StoredTokenCache(store), lambda: secret).current()
    again = TokenSource(settings(), StoredTokenCache(store), lambda: secret).current()
    assert first.secret == again.secret
    assert [each["grant"] for each in token_calls(simulator)] == ["refresh_token"]
    simulator.control.clear_violations()  # the token that it came with is good, and elsewhere


def test_a_refresh_token_that_ended_is_told_with_its_reason(simulator, source, store):
    secret = refresh_token_of_elsewhere(simulator, source, store)
    simulator.control.revoke("all")
    with pytest.raises(SignInRequired) as caught:
        source().adopt(secret)
    assert caught.value.reason == "refresh_revoked"
    assert secret not in str(caught.value)
    assert store.text is None
    simulator.control.clear_violations()


# How long it lasts


def test_a_renewed_token_that_cannot_be_kept_at_once_is_not_renewed_again(
    simulator, signed_in_source, store, short_waits, monkeypatch
):
    simulator.control.settings(rotation="rotate-and-revoke-old")
    expire_access_tokens(store)
    write, failures = store.write, iter([VariableUnreadable("away"), VariableUnreadable("away")])

    def away_twice(text):
        if (failure := next(failures, None)) is not None:
            raise failure
        write(text)

    monkeypatch.setattr(store, "write", away_twice)
    token = signed_in_source().current()
    assert len(token_calls(simulator)) == 1
    assert len(short_waits) == 2
    assert signed_in_source().current().secret == token.secret
    simulator.control.clear_violations()  # the token ended in the cache alone


def test_a_token_that_would_end_within_the_run_is_renewed_before_it(simulator, source, store):
    simulator.control.settings(auto_approve=True, expires_in=1_500)
    tokens = source()
    tokens.finish_device_flow(tokens.start_device_flow())
    cache = json.loads(store.text)
    for entry in cache["AccessToken"].values():
        entry["cached_at"] = str(int(time.time()) - 2_100)
    store.text = json.dumps(cache)
    simulator.control.settings(expires_in=3_600)
    assert source().current(lasting=1_200).expires_in < 1_600
    assert source().current(lasting=1_700).expires_in > 3_000
    simulator.control.clear_violations()  # the simulator's rule knows nothing of long runs


def test_more_than_half_of_its_life_is_not_asked_of_a_token(simulator, signed_in_source):
    first = signed_in_source().current(lasting=7_200)
    assert signed_in_source().current(lasting=7_200).secret == first.secret
    assert token_calls(simulator) == []


def test_the_end_of_the_sign_in_counts_from_the_last_renewal(signed_in_source, store):
    found = signed_in_source().signed_in()
    assert (found.account, found.tenant_id) == ("s***@partner.example", signed_in_source()._settings.tenant_id)
    assert abs(found.ends_at.timestamp() - time.time() - 90 * 86_400) < 60
    cache = json.loads(store.text)
    for entry in cache["RefreshToken"].values():
        entry.pop("last_modification_time")
    store.text = json.dumps(cache)
    assert signed_in_source().signed_in().ends_at is None
    store.text = None
    assert signed_in_source().signed_in() is None


# A confidential app registration


def test_a_client_secret_goes_with_no_device_code(simulator, settings, store):
    tokens = TokenSource(settings(password="client-secret-value"), StoredTokenCache(store))
    with pytest.raises(ConfigurationError, match="by browser") as caught:
        tokens.start_device_flow()
    assert "client-secret-value" not in str(caught.value)
    assert "client-secret-value" not in repr(settings(password="client-secret-value"))
    assert simulator.control.requests() == []


# What a refused token says of itself


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "https://graph.microsoft.com"}, "wrong_audience"),
        ({"aud": "https://api.partner.microsoft.com/", "amr": ["pwd"]}, "mfa_required"),
        ({"aud": "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd", "amr": ["pwd", "mfa"]}, None),
        ({"tid": "11111111-2222-4333-8444-555555555555"}, "wrong_tenant"),
        ({"amr": "mfa", "tid": 7}, None),
        (None, None),
    ],
)
def test_a_token_shows_why_an_api_may_refuse_it(settings, claims, reason):
    token = "opaque" if claims is None else jwt(claims)
    assert token_claims.problem(token, settings()) == reason


# A login that is down


DOWN = [
    ({"kind": "html502"}, None),
    ({"kind": "status", "status": 503}, None),
    ({"kind": "status", "status": 500, "body": ""}, None),
    ({"kind": "429"}, None),
    ({"kind": "429", "retry_after": 7}, [7.1] * 4),
    ({"kind": "status", "status": 503, "retry_after": 3}, [3.1] * 4),
    ({"kind": "html200"}, None),
    ({"kind": "reset"}, None),
    ({"kind": "truncate"}, None),
    ({"kind": "status", "status": 200, "body": "[]"}, None),
    ({"kind": "status", "status": 200, "body": "{}"}, None),
]
BUSY = [
    ({"kind": "oauth-error", "error": "temporarily_unavailable", "code": 90033}, None),
    ({"kind": "oauth-error", "error": "invalid_grant", "code": 50196}, None),
    ({"kind": "oauth-error", "error": "server_error"}, None),
]


@pytest.mark.parametrize(
    ("place", "fault", "pauses"),
    [*(("token", *case) for case in DOWN + BUSY), *(("openid", *case) for case in DOWN)],
)
def test_a_login_that_is_down_is_tried_five_times(
    simulator, signed_in_source, store, short_waits, fault, pauses, place
):
    simulator.control.faults([{"on": place, **fault}])
    expire_access_tokens(store)
    kept = store.text
    with pytest.raises(ApiUnavailable) as caught:
        signed_in_source().current()
    struck = [each for each in simulator.control.requests() if each["fault"] == fault["kind"]]
    assert len(struck) >= 5
    assert len(short_waits) == 4
    assert pauses is None or short_waits == [pytest.approx(pause, abs=0.05) for pause in pauses]
    assert "tried again by itself" in str(caught.value)
    assert store.text == kept
    simulator.control.clear_violations()


def test_a_login_that_recovers_is_no_failure(simulator, signed_in_source, store, short_waits):
    simulator.control.faults([{"kind": "html502", "on": "token", "times": 3}])
    expire_access_tokens(store)
    assert signed_in_source().current().secret
    assert len(short_waits) == 3
    simulator.control.clear_violations()


def test_a_long_retry_after_of_the_login_is_left_to_airflow(simulator, signed_in_source, store, short_waits):
    simulator.control.faults([{"kind": "429", "on": "token", "retry_after": 900}])
    expire_access_tokens(store)
    with pytest.raises(ApiUnavailable) as caught:
        signed_in_source().current()
    assert caught.value.retry_after == 900
    assert short_waits == []
    simulator.control.clear_violations()


def test_nobody_listening_is_told(simulator, signed_in_source, store, short_waits):
    expire_access_tokens(store)
    with pytest.raises(ApiUnavailable, match="no answer"):
        signed_in_source(authority=f"https://127.0.0.1:1/{simulator.tenant}").current()
    assert len(short_waits) == 4


@pytest.mark.parametrize("status", [400, 404])
def test_a_tenant_that_does_not_exist_is_a_configuration_error(
    simulator, source, signed_in_source, status, short_waits
):
    if status == 404:
        simulator.control.faults([{"kind": "status", "status": 404, "on": "openid"}])
    wrong = {"authority": f"{simulator.url}/no-such-tenant", "tenant_id": "no-such-tenant"}
    with pytest.raises(ConfigurationError, match="tenant_id"):
        source(**wrong).start_device_flow()
    assert short_waits == []


# Certificates


def test_requests_ca_bundle_does_not_take_the_place_of_our_ca(
    signed_in_source, store, tmp_path, monkeypatch, simulator
):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "other.pem"))
    expire_access_tokens(store)
    simulator.control.clock(3_600)
    assert signed_in_source().current().secret


def test_a_login_that_nobody_trusts_gets_nothing(signed_in_source, tmp_path, simulator):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with pytest.raises(ConfigurationError, match="certificate"):
        signed_in_source(verify=str(tmp_path / "other.pem")).start_device_flow()
    assert simulator.control.requests() == []


def test_a_bundle_that_does_not_exist_is_a_configuration_error(signed_in_source, tmp_path, short_waits):
    with pytest.raises(ConfigurationError):
        signed_in_source(verify=str(tmp_path / "none.pem")).start_device_flow()
    assert short_waits == []


# The header


@pytest.mark.parametrize("path", ["/", "/v1.0/engagements/referrals", "/v1.0/x?y=z"])
def test_the_token_is_put_on_a_request_home(simulator, signed_in_source, path):
    tokens = signed_in_source()
    request = requests.Request("GET", simulator.url + path, auth=BearerAuth(tokens, tokens._settings)).prepare()
    assert request.headers["Authorization"] == f"Bearer {tokens.current().secret}"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1/",
        "https://127.0.0.1:1/",
        "https://localhost:{port}/",
        "https://127.0.0.1.evil.example:{port}/",
        "https://evil.example/",
        "https://127.0.0.1:{port}@evil.example/",
    ],
)
def test_the_token_is_put_on_no_other_request(simulator, signed_in_source, url):
    tokens = signed_in_source()
    target = url.format(port=simulator.url.rsplit(":", 1)[1])
    request = requests.Request("GET", target).prepare()
    with pytest.raises(UnsafeNextLink):
        BearerAuth(tokens, tokens._settings)(request)
    # (requests itself makes a Basic header of a user in front of a host.)
    assert "Bearer" not in request.headers.get("Authorization", "")


# Secrets


def test_nothing_secret_shows_in_reprs_logs_and_errors(simulator, signed_in_source, store, short_waits, caplog):
    caplog.set_level(logging.DEBUG)
    tokens = signed_in_source()
    shown = [repr(tokens), repr(tokens.current()), str(tokens.current()), repr(tokens._cache), repr(vars(tokens))]
    shown += [repr(BearerAuth(tokens, tokens._settings))]
    for fault in ({"kind": "html502"}, {"kind": "oauth-error", "code": 50076}, {"kind": "reset"}):
        simulator.control.faults([{"on": "token", **fault}])
        expire_access_tokens(store)
        with pytest.raises((ApiUnavailable, SignInRequired)) as caught:
            signed_in_source().current()
        error = caught.value
        while error is not None:
            shown += [str(error), repr(error), repr(error.args)]
            error = error.__cause__
    shown += [record.getMessage() for record in caplog.records if record.name.startswith("partner_center")]
    secrets = store.masked | set(store.secrets("RefreshToken"))
    assert len(secrets) >= 3
    assert [text for text in shown if any(secret in text for secret in secrets)] == []
    simulator.control.clear_violations()
