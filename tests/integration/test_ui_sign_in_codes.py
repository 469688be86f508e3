"""Sign-in by device code from the page, and sign-out: Airflow's own app, MSAL, and the simulator."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import connection_to
from tests.support.pages import HTMX, OWN, ROOT, variables_now
from tests.support.sign_in import sign_in

PAGE, BEGIN, SIGN_OUT = (f"{ROOT}{path}" for path in ("/sign-in", "/sign-in/device", "/sign-out"))
CACHE, STATE = "partner_center_token_cache", "partner_center_sign_in_state"
FLOW = "partner_center_device_flow_secret_"


def begin(client, query=""):
    """Press the button; return the address of the page with the code."""
    answer = client.post(BEGIN + query, headers=OWN)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def code_on(page):
    (code,) = re.findall(r'id="user-code" class="code">(\w+)<', page.text)
    return code


def polled(page):
    """Return where the page polls, and every how many seconds."""
    ((address, seconds),) = re.findall(r'hx-post="([^"]+)" hx-trigger="every (\d+)s"', page.text)
    return address.replace("&amp;", "&"), int(seconds)


def let_time_pass():
    """Make every flow due, for us and for MSAL, as if its interval had passed."""
    from partner_center import airflow_store

    for key in variables_now():
        if key.startswith(FLOW):
            airflow_store.change(
                key, lambda text: json.dumps({**json.loads(text), "next_at": 0, "latest_attempt_at": 0})
            )


def device_calls(simulator):
    return simulator.control.state()["token_calls"].get("device_code", 0)


def flows():
    return [key for key in variables_now() if key.startswith(FLOW)]


def test_a_person_signs_in_with_a_code(ann, simulator, log_tee):
    assert "Show a code</button>" in ann.get(PAGE).text
    with log_tee.listening() as heard:
        address = begin(ann)
        page = ann.get(address)
        assert page.status_code == 200
        assert f'href="{simulator.url}/device"' in page.text
        polls, seconds = polled(page)
        assert (polls.split("?")[0], seconds) == (address, 2)
        let_time_pass()
        assert ann.post(polls, headers=HTMX).status_code == 204
        simulator.control.approve(code_on(page))
        let_time_pass()
        done = ann.post(polls, headers=HTMX)
    assert (done.status_code, "<html" in done.text, "hx-post" in done.text) == (200, False, False)
    assert "Signed in as s***@partner.example" in done.text
    assert "Partner Center lets this account read referrals" in done.text
    assert set(variables_now()) == {CACHE}
    assert "ann signed in to Partner Center by code for the connection partner_center_default" in "".join(heard)


def test_without_script_there_is_a_button(ann, simulator):
    address = begin(ann)
    page = ann.get(address)
    assert f'action="{address}"' in page.text
    assert "Check now" in page.text
    let_time_pass()
    waiting = ann.post(address, headers=OWN)
    assert (waiting.status_code, "<html" in waiting.text) == (200, True)
    assert "Nobody has signed in with this code yet" in waiting.text
    simulator.control.approve(code_on(waiting))
    let_time_pass()
    assert "Signed in as s***@partner.example" in ann.post(address, headers=OWN).text


def test_the_login_is_never_asked_faster_than_it_wants(ann, simulator):
    simulator.control.settings(interval=5, enforce_interval=True)
    address = begin(ann)
    for _ in range(4):
        assert "Nobody has signed in" in ann.post(address, headers=OWN).text
    assert device_calls(simulator) == 0
    let_time_pass()
    for _ in range(4):
        ann.post(address, headers=OWN)
    assert device_calls(simulator) == 1


def test_slow_down_makes_the_page_ask_less_often(ann, simulator):
    simulator.control.settings(interval=5, enforce_interval=True)
    polls, before = polled(ann.get(begin(ann)))
    let_time_pass()
    assert ann.post(polls, headers=HTMX).status_code == 204
    let_time_pass()
    slower = ann.post(polls, headers=HTMX)
    assert (slower.status_code, "<html" in slower.text) == (200, False)
    polls, after = polled(slower)
    assert after == before + 5
    let_time_pass()
    assert ann.post(polls, headers=HTMX).status_code in {200, 204}


def test_of_questions_at_once_one_reaches_the_login(client_of, ann, simulator):
    address = begin(ann)
    let_time_pass()
    gate = threading.Barrier(3)

    def ask(_):
        browser = client_of("ann")
        gate.wait()
        return browser.post(address, headers=OWN).status_code

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ask, range(3))) == [200, 200, 200]
    assert device_calls(simulator) == 1


@pytest.mark.parametrize("headers", [OWN, HTMX])
def test_a_person_declines(ann, simulator, headers):
    address = begin(ann)
    simulator.control.deny(code_on(ann.get(address)))
    let_time_pass()
    answer = ann.post(address, headers=headers)
    assert (answer.status_code, "<code>declined</code>" in answer.text) == (400, True)
    assert ("<html" in answer.text) is (headers is OWN)
    assert variables_now() == {}
    assert "<code>code_expired</code>" in ann.post(address, headers=OWN).text


def test_a_code_that_ended(ann, simulator):
    address = begin(ann)
    simulator.control.clock(1000)
    let_time_pass()
    answer = ann.post(address, headers=OWN)
    assert (answer.status_code, "<code>code_expired</code>" in answer.text) == (400, True)
    assert variables_now() == {}


def test_a_login_that_is_away_for_a_moment_ends_nothing(ann, simulator):
    address = begin(ann)
    simulator.control.approve(code_on(ann.get(address)))
    simulator.control.faults([{"on": "token", "kind": "html502"}])
    let_time_pass()
    assert "Nobody has signed in" in ann.post(address, headers=OWN).text
    simulator.control.faults([])
    let_time_pass()
    assert "Signed in as" in ann.post(address, headers=OWN).text


def test_another_users_code_is_none_of_ones_business(client_of, ann, simulator):
    address = begin(ann)
    code = code_on(ann.get(address))
    let_time_pass()
    for answer in (client_of("bob").get(address), client_of("bob").post(address, headers=OWN)):
        assert (answer.status_code, "<code>code_expired</code>" in answer.text, code in answer.text) == (
            400,
            True,
            False,
        )
    assert (device_calls(simulator), len(flows())) == (0, 1)
    assert ann.get(address).status_code == 200


def test_a_code_belongs_to_its_account(ann, simulator, monkeypatch):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CONNECTIONS", "partner_center_north")
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_NORTH", json.dumps(connection_to(simulator)))
    address = begin(ann, "?connection=partner_center_north")
    assert address.endswith("?connection=partner_center_north")
    assert ann.get(address.split("?")[0]).status_code == 400
    polls, _ = polled(ann.get(address))
    simulator.control.approve(code_on(ann.get(address)))
    let_time_pass()
    assert ann.post(polls, headers=HTMX).status_code == 200
    assert set(variables_now()) == {f"{CACHE}__north"}


def test_the_flow_of_the_dag_is_not_the_pages(ann, simulator):
    from partner_center import device_flows
    from partner_center.hook import PartnerCenterHook

    key = device_flows.keep(PartnerCenterHook().tokens.start_device_flow()).removeprefix(FLOW)
    assert ann.get(f"{BEGIN}/{key}").status_code == 400
    for other in ("0123456789abcdef", "%27", "x"):
        assert ann.post(f"{BEGIN}/{other}", headers=OWN).status_code == 400


def test_a_user_has_three_waiting_at_most(client_of, ann, simulator):
    for _ in range(3):
        begin(ann)
    answer = ann.post(BEGIN, headers=OWN)
    assert (answer.status_code, "still wait" in answer.text, len(flows())) == (429, True, 3)
    begin(client_of("bob"))


def test_within_the_frame_a_code_works(ann, simulator):
    framed = {**OWN, "sec-fetch-dest": "iframe"}
    page = ann.get(PAGE, headers=framed).text
    assert f'action="{BEGIN}"' in page
    assert f'<a data-outside href="http://localhost:8080{PAGE}">' in page
    answer = ann.post(BEGIN, headers=framed)
    assert answer.status_code == 303
    assert 'data-outside target="_blank"' in ann.get(answer.headers["location"], headers=framed).text


def test_a_client_secret_has_no_codes(ann, simulator, monkeypatch):
    given = {**connection_to(simulator), "password": "open sesame"}
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT", json.dumps(given))
    answer = ann.post(BEGIN, headers=OWN)
    assert (answer.status_code, "has no sign-in by device code" in answer.text) == (400, True)
    assert "open sesame" not in answer.text


def test_nothing_secret_is_shown_or_logged(client_of, ann, simulator, log_tee):
    with log_tee.listening() as heard:
        address = begin(ann)
        (key,) = flows()
        device_code = json.loads(variables_now()[key])["device_code"]
        page = ann.get(address)
        shown = page.text + address + client_of("admin", "ADMIN").get(f"/api/v2/variables/{key}").text
        simulator.control.approve(code_on(page))
        let_time_pass()
        shown += ann.post(address, headers=OWN).text + ann.get(PAGE).text
        shown += ann.post(SIGN_OUT, headers=OWN).text
    tokens = simulator.control._state.tokens
    secrets = {device_code, *tokens.access, *tokens.refresh}
    assert len(secrets) == 3
    assert [secret for secret in secrets if secret in shown or secret in "".join(heard)] == []


# Sign-out


def test_a_person_signs_out(ann, simulator, log_tee):
    from airflow.models.variable import Variable

    sign_in(simulator)
    Variable.set(STATE, '{"claims": "{}"}')
    assert "Sign out</button>" in ann.get(PAGE).text
    with log_tee.listening() as heard:
        answer = ann.post(SIGN_OUT, headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert variables_now() == {}
    assert "ann signed out of Partner Center for the connection partner_center_default" in "".join(heard)
    page = ann.get(PAGE).text
    assert ("Nobody is signed in" in page, "Sign out</button>" in page) == (True, False)
    assert ann.post(SIGN_OUT, headers=OWN).status_code == 303


def test_only_one_account_is_signed_out(ann, simulator, monkeypatch):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CONNECTIONS", "partner_center_north")
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_NORTH", json.dumps(connection_to(simulator)))
    sign_in(simulator)
    sign_in(simulator, "partner_center_north")
    answer = ann.post(f"{SIGN_OUT}?connection=partner_center_north", headers=OWN)
    assert answer.headers["location"] == f"{PAGE}?connection=partner_center_north"
    assert CACHE in variables_now()
    assert f"{CACHE}__north" not in variables_now()


def test_an_obsolete_file_does_not_bring_the_sign_in_back(ann, simulator, monkeypatch, tmp_path):
    from partner_center.hook import PartnerCenterHook

    sign_in(simulator)
    (tmp_path / "cache.json").write_text(variables_now()[CACHE])
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_TOKEN_CACHE_PATH", str(tmp_path / "cache.json"))
    assert ann.post(SIGN_OUT, headers=OWN).status_code == 303
    tokens = PartnerCenterHook().tokens
    assert (tokens.signed_in(), tokens.signs_in_by_itself()) == (None, False)


def test_a_cache_outside_of_airflows_database_is_told(ann, simulator, monkeypatch):
    sign_in(simulator)
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_TOKEN_CACHE", variables_now()[CACHE])
    answer = ann.post(SIGN_OUT, headers=OWN)
    assert (answer.status_code, "nobody was signed out" in answer.text) == (400, True)


def test_a_handed_in_token_is_told(ann, monkeypatch):
    handed_in = json.dumps({"conn_type": "generic", "password": "a refresh token"})
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT_REFRESH_TOKEN", handed_in)
    assert "The next run signs in by itself" in ann.get(PAGE).text
