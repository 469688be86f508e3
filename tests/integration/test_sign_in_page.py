"""The sign-in page in Airflow's own API server app: real log-in, guards, access log and Variables; MSAL; the simulator.

The browser's part is played by requests; tests/dags/test_sign_in_in_browser.py has a real one.
"""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import requests

from tests.conftest import connection_to
from tests.support.pages import AIRFLOW, HTML, OWN, variables_now

PAGE, START, CALLBACK = (f"/partner-center/sign-in{rest}" for rest in ("", "/start", "/callback"))
CACHE, FLOW = "partner_center_token_cache", "partner_center_sign_in_flow_secret_"


def begin(client, query=""):
    """Press the page's button; return Microsoft's address."""
    answer = client.post(START + query, headers=OWN)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def decide(simulator, address, decision="approve"):
    """Be the person at Microsoft's page; return the query that the browser comes back with."""
    with requests.Session() as session:
        session.trust_env = False
        options = {"verify": simulator.ca, "allow_redirects": False, "timeout": 10}
        answer = session.post(address, data={"decision": decision}, **options)
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == AIRFLOW + CALLBACK
    return dict(parse_qsl(back.query))


def come_back(client, answer):
    return client.get(f"{CALLBACK}?{urlencode(answer)}", headers={"sec-fetch-site": "cross-site"})


def redemptions(simulator):
    return simulator.control.state()["token_calls"].get("authorization_code", 0)


def refused(answer, reason, status=400):
    """Say whether a page tells of a refusal for this reason, and nothing is kept."""
    assert (answer.status_code, f"<code>{reason}</code>" in answer.text) == (status, True), answer.text
    assert set(variables_now()) & {CACHE} == set()
    return True


# A sign-in


def test_a_person_signs_in(ann, simulator):
    assert "Nobody is signed in" in ann.get(PAGE).text
    address = begin(ann)
    asked = {name: value for name, (value,) in parse_qs(urlsplit(address).query).items()}
    assert address.startswith(f"{simulator.authority}/oauth2/v2.0/authorize?")
    assert (asked["redirect_uri"], asked["response_mode"]) == (AIRFLOW + CALLBACK, "query")
    assert (asked["code_challenge_method"], asked["response_type"]) == ("S256", "code")
    done = come_back(ann, decide(simulator, address))
    assert done.status_code == 200
    assert "Signed in as s***@partner.example" in done.text
    assert "Partner Center lets this account read referrals" in done.text
    assert set(variables_now()) == {CACHE}
    calls = len(simulator.control.requests())
    page = ann.get(PAGE)
    assert "Signed in as <strong>s***@partner.example</strong>" in page.text
    assert simulator.tenant in page.text
    assert len(simulator.control.requests()) == calls


def test_a_confidential_app_registration_signs_in(ann, simulator, monkeypatch):
    simulator.control.settings(client_secret="open sesame")
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT", json.dumps(connection_to(simulator)))
    refusal = come_back(ann, decide(simulator, begin(ann)))
    assert refused(refusal, "public_client_disabled")
    given = {**connection_to(simulator), "password": "open sesame"}
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT", json.dumps(given))
    done = come_back(ann, decide(simulator, begin(ann)))
    assert (done.status_code, "open sesame" in done.text) == (200, False)


def test_a_user_without_the_role_is_signed_in_and_told(ann, simulator):
    answer = decide(simulator, begin(ann))
    simulator.control.faults([{"on": "referrals", "kind": "403-role"}])
    done = come_back(ann, answer)
    assert done.status_code == 200
    assert "The sign-in is kept, but one call with it failed" in done.text
    assert "Referrals Admin" in done.text
    assert CACHE in variables_now()


def test_another_account_signs_in_with_its_own_connection(ann, simulator, monkeypatch):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CONNECTIONS", "partner_center_north")
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_NORTH", json.dumps(connection_to(simulator)))
    query = "?connection=partner_center_north"
    assert f'<a href="/partner-center/{query}">north</a>' in ann.get(PAGE).text
    page = ann.get(PAGE + query).text
    assert f'action="{START}{query}"' in page
    assert "partner_center_device_code_flow.py --connection partner_center_north" in page
    assert '<a href="/partner-center/">default</a>' in page
    done = come_back(ann, decide(simulator, begin(ann, query)))
    assert done.status_code == 200
    assert f"{PAGE}{query}" in done.text
    assert list(variables_now()) == [f"{CACHE}__north"]
    assert "Nobody is signed in" in ann.get(PAGE).text


# Refusals


def wrong_state(answer):
    return {**answer, "state": "x" + answer["state"][1:]}


@pytest.mark.parametrize(
    ("change", "switches"),
    [
        (wrong_state, {}),
        (lambda answer: {k: v for k, v in answer.items() if k != "state"}, {}),
        (lambda answer: {k: v for k, v in answer.items() if k != "code"}, {}),
        (lambda answer: {**answer, "code": "1.Awrong"}, {}),
        (lambda answer: {**answer, "state": "\udce4 ' or 1=1"}, {}),
        (dict, {"wrong_nonce": True}),
    ],
    ids=["wrong state", "no state", "no code", "wrong code", "garbage", "wrong nonce"],
)
def test_an_answer_that_does_not_belong_to_the_flow(ann, simulator, change, switches):
    answer = decide(simulator, begin(ann))
    simulator.control.settings(**switches)
    changed = urlencode(change(answer), errors="surrogateescape")
    assert refused(ann.get(f"{CALLBACK}?{changed}"), "answer_mismatch")


@pytest.mark.parametrize(
    ("decision", "switches", "reason"),
    [
        ("deny", {}, "declined"),
        ("approve", {"conditional_access_block": True}, "conditional_access"),
        ("approve", {"refresh_token": False}, "no_refresh_token"),
    ],
)
def test_a_sign_in_that_is_refused(ann, simulator, decision, switches, reason):
    simulator.control.settings(**switches)
    answer = decide(simulator, begin(ann), decision)
    assert refused(come_back(ann, answer), reason)
    assert variables_now() == {}


def test_a_refusal_says_who_can_end_it(ann, simulator):
    simulator.control.settings(conditional_access_block=True)
    page = come_back(ann, decide(simulator, begin(ann))).text
    assert "It can be ended by an Entra administrator." in page
    assert "AADSTS53003" in page


def test_a_program_gets_its_refusal_as_json(ann, simulator):
    answer = ann.get(CALLBACK, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "answer_mismatch")


def test_a_callback_works_once(ann, simulator):
    answer = decide(simulator, begin(ann))
    assert come_back(ann, answer).status_code == 200
    kept = variables_now()[CACHE]
    assert "<code>answer_mismatch</code>" in come_back(ann, answer).text
    assert variables_now()[CACHE] == kept
    assert redemptions(simulator) == 1


def test_of_two_callbacks_at_once_one_wins(client_of, ann, simulator):
    for _ in range(5):
        answer, before = decide(simulator, begin(ann)), redemptions(simulator)
        gate = threading.Barrier(2)

        def one(answer=answer, gate=gate):
            browser = client_of("ann")
            gate.wait()
            return come_back(browser, answer).status_code

        with ThreadPoolExecutor(2) as pool:
            assert sorted(each.result() for each in [pool.submit(one), pool.submit(one)]) == [200, 400]
        assert redemptions(simulator) - before == 1


def test_another_users_callback_is_refused_and_uses_the_flow_up(client_of, ann, simulator):
    answer = decide(simulator, begin(ann))
    assert refused(come_back(client_of("bob"), answer), "answer_mismatch")
    assert refused(come_back(ann, answer), "answer_mismatch")
    assert redemptions(simulator) == 0


def test_a_flow_ends_after_its_minutes_and_is_removed_by_the_next(ann, simulator, monkeypatch):
    with monkeypatch.context() as late:
        late.setattr("partner_center.ui.flows.BROWSER_SECONDS", 0)
        assert refused(come_back(ann, decide(simulator, begin(ann))), "answer_mismatch")
        begin(ann)
        begin(ann)
    begin(ann)
    ended_and_open = [key for key in variables_now() if key.startswith(FLOW)]
    assert len(ended_and_open) == 1
    assert redemptions(simulator) == 0


def test_a_flow_that_nobody_can_read_is_removed(ann):
    from airflow.models.variable import Variable

    Variable.set(f"{FLOW}0123456789abcdef", "no JSON")
    Variable.set(f"{FLOW}fedcba9876543210", '{"of": "another version"}')
    begin(ann)
    assert len(variables_now()) == 1


def test_a_login_that_is_away(ann, simulator, short_waits):
    answer = decide(simulator, begin(ann))
    simulator.control.faults([{"on": "token", "kind": "html502"}])
    assert refused(come_back(ann, answer), "login_unreachable", 503)
    simulator.control.faults([{"on": "openid", "kind": "status", "status": 503}])
    assert refused(ann.post(START, headers=OWN), "login_unreachable", 503)
    assert variables_now() == {}


def test_a_wrong_setting_is_told_where_the_button_would_be(ann, simulator, monkeypatch):
    connection = connection_to(simulator)
    del connection["extra"]["client_id"]
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT", json.dumps(connection))
    page = ann.get(PAGE)
    assert (page.status_code, "No client_id is set" in page.text, "<form" in page.text) == (200, True, False)
    assert ann.post(START, headers=OWN).status_code == 400


def test_an_unreadable_variable_is_not_nobody(ann, monkeypatch):
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import update

    Variable.set(CACHE, "{}")
    with create_session() as session:
        session.execute(update(Variable).values({"val": "gAAAA of another key"}))
    for answer in (ann.get(PAGE), ann.post(START, headers=OWN)):
        assert answer.status_code == 503
        assert "could not be read" in answer.text


# Who may, and from where


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, 303),
        ({"sec-fetch-site": "same-origin", "host": "api-server:8080"}, 303),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": AIRFLOW}, 403),
        ({"origin": AIRFLOW}, 303),
        ({"origin": AIRFLOW, "host": "api-server:8080"}, 303),
        ({"origin": "http://api-server:8080", "host": "api-server:8080"}, 303),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        # No browser: those send one of both with every POST.
        ({}, 303),
        ({"authorization": "Basic eDp5"}, 303),
        ({"authorization": "Basic eDp5", "origin": "https://evil.example"}, 403),
    ],
)
def test_a_start_comes_from_the_page_itself_also_behind_a_proxy(ann, headers, status):
    assert ann.post(START, headers=headers).status_code == status


def test_a_program_with_a_bearer_token_needs_no_page(client_of, ann):
    token = ann.cookies["_token"]
    assert client_of().post(START, headers={"authorization": f"Bearer {token}"}).status_code == 303
    for token in ("forged", client_of("vic", "VIEWER").cookies["_token"]):
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        answer = client_of().post(START, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["detail"].startswith("Your user of Airflow may not do this")


# Where a browser can come back to, and frames


@pytest.mark.parametrize(
    ("base_url", "status"),
    [
        ("https://airflow.example", 303),
        ("https://airflow.example/team/", 303),
        ("http://127.0.0.1:8080", 303),
        ("http://airflow.example", 400),
        ("http://localhost.evil.example", 400),
    ],
)
def test_a_sign_in_begins_only_where_microsoft_sends_a_browser_back_to(ann, monkeypatch, base_url, status):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    page, answer = ann.get(PAGE).text, ann.post(START, headers=OWN)
    assert (f'action="{START}"' in page, answer.status_code) == (status == 303, status)
    if status == 303:
        asked = parse_qs(urlsplit(answer.headers["location"]).query)
        assert asked["redirect_uri"] == [f"{base_url.rstrip('/')}{CALLBACK}"]
    else:
        assert "https" in page
        assert variables_now() == {}


def test_without_a_base_url_the_requests_own_address_counts(ann, monkeypatch):
    monkeypatch.delenv("AIRFLOW__API__BASE_URL")
    assert parse_qs(urlsplit(begin(ann)).query)["redirect_uri"] == [AIRFLOW + CALLBACK]


def test_within_a_frame_the_page_shows_the_way_out(ann):
    framed = {**OWN, "sec-fetch-dest": "iframe"}
    page = ann.get(PAGE, headers=framed).text
    assert (f'action="{START}"' in page, f"{AIRFLOW}{PAGE}</code>" in page) == (False, True)
    assert ann.post(START, headers=framed).status_code == 400
    assert variables_now() == {}


def test_the_app_may_have_a_path_before_it(ann, simulator, monkeypatch):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from partner_center.ui.app import create_app

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/team")
    parent = FastAPI(root_path="/team")
    parent.mount("/partner-center", create_app())
    browser = TestClient(parent, "https://airflow.example", headers=HTML, cookies=dict(ann.cookies))
    page = browser.get(f"/team{PAGE}").text
    assert f'action="/team{START}"' in page
    assert 'href="/team/partner-center/static/page.css"' in page
    assert browser.get("/team/partner-center/static/page.css").status_code == 200
    login = TestClient(parent, headers=HTML).get(f"/team{PAGE}").text
    assert f"/team/api/v2/auth/login?{urlencode({'next': f'/team{PAGE}'})}" in login


# What a page says, and what it does not


@pytest.mark.parametrize(
    "connection",
    ["partner_center_nowhere", "partner_center_db", "../../etc/passwd", "<script>alert(1)</script>", "x" * 300, ""],
)
def test_no_connection_is_used_that_is_no_account(ann, simulator, monkeypatch, connection):
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_NOWHERE", json.dumps(connection_to(simulator)))
    for answer in (
        ann.get(PAGE, params={"connection": connection}),
        ann.post(START, params={"connection": connection}, headers=OWN),
    ):
        assert answer.status_code == 404
        assert "There is no such partner account" in answer.text
        assert "alert" not in answer.text
    assert simulator.control.requests() == []


def test_what_comes_from_outside_is_escaped(ann):
    state = parse_qs(urlsplit(begin(ann)).query)["state"][0]
    text = "<script>alert(1)</script> & name@partner.example"
    page = come_back(ann, {"state": state, "error": "access_denied", "error_description": text})
    assert page.status_code == 400
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; n***@partner.example" in page.text
    assert "<script>" not in page.text


def test_every_answer_forbids_what_it_does_not_need(client_of, ann, simulator):
    style = "/partner-center/static/page.css"
    asked = [(client_of(), "GET", PAGE), (ann, "GET", PAGE), (ann, "GET", CALLBACK), (ann, "POST", START)]
    for client, method, path in [*asked, (ann, "GET", style), (ann, "GET", "/partner-center/nothing")]:
        headers = client.request(method, path, headers=OWN).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert (policy["default-src"], policy["style-src"]) == ("'none'", "'self'")
        assert {policy[f"{what}-src"] for what in ("script", "img", "connect")} == {"'self'"}
        assert (policy["frame-ancestors"], policy["base-uri"]) == ("'self'", "'none'")
        # The address of the callback holds a code; of a form of the other pages, the Origin has to be told.
        is_page = path != CALLBACK and headers.get("content-type", "").startswith("text/html")
        assert headers["referrer-policy"] == ("same-origin" if is_page else "no-referrer")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    assert "form-action 'self' https:" in ann.get(PAGE).headers["content-security-policy"]
    assert ann.get(CALLBACK).headers["content-security-policy"].endswith("form-action 'self'")
    assert ann.get(style).headers["content-security-policy"].endswith("form-action 'none'")


def test_an_error_of_ours_shows_no_trace(client_of, ann, monkeypatch):
    def broken(*_):
        raise RuntimeError("something with a secret")

    monkeypatch.setattr("partner_center.ui.flows.take", broken)
    browser = client_of("ann", raise_server_exceptions=False)
    for accept in ("text/html", "application/json"):
        answer = browser.get(CALLBACK, headers={"accept": accept})
        assert (answer.status_code, "secret" in answer.text) == (500, False)
        assert "the API server&#39;s log" in answer.text or "the API server's log" in answer.text


def test_nothing_secret_is_shown_or_logged(client_of, ann, simulator, log_tee):
    admin = client_of("admin", "ADMIN")
    with log_tee.listening() as heard:
        address = begin(ann)
        (key,) = variables_now()
        flow = json.loads(variables_now()[key])["flow"]
        shown = admin.get("/api/v2/variables").text + admin.get(f"/api/v2/variables/{key}").text
        answer = decide(simulator, address)
        shown += come_back(client_of(), answer).text
        shown += come_back(client_of("bob"), answer).text
        second = decide(simulator, begin(ann))
        shown += come_back(ann, second).text
    log = "".join(heard)
    state = simulator.control._state.tokens
    secrets = {flow["state"], flow["nonce"], flow["code_verifier"], answer["code"], second["code"], second["state"]}
    secrets |= {*state.access, *state.refresh}
    assert len(secrets) == 8
    assert key in shown
    assert "path=/partner-center/sign-in/callback" in log
    assert "ann signed in to Partner Center" in log
    assert [secret for secret in secrets if secret in log or secret in shown] == []


def test_a_flow_is_encrypted_where_it_is_kept(ann, airflow_home):
    import sqlite3

    state = parse_qs(urlsplit(begin(ann)).query)["state"][0]
    with sqlite3.connect(airflow_home / "airflow.db") as metadata:
        ((key, value, is_encrypted),) = metadata.execute("select key, val, is_encrypted from variable")
    assert key.startswith(FLOW)
    assert state not in key + value
    assert is_encrypted
