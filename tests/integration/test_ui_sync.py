"""Runs that a page or a program starts, and their progress: Airflow's own app and metadata, and a real warehouse."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.support.metadata import paused, runs_of, set_run
from tests.support.pages import HTMX, OWN, ROOT

API, FORM, REPLAY = (f"{ROOT}{path}" for path in ("/api/v1/referrals/sync", "/sync", "/quarantine/replay"))
DAG, REPLAY_DAG = "partner_center_referral_sync", "partner_center_replay_quarantine"
JSON = {**OWN, "accept": "application/json"}


@pytest.fixture
def una(ann, known_dags, flag_on):
    """The browser of somebody who may start runs, with the sync switched on."""
    return ann


@pytest.fixture
def migrated(warehouse):
    """The warehouse with its tables."""
    from partner_center import warehouse as ours
    from tests.support.environment import ROOT as HERE

    ours.ensure_schema(HERE / "include" / "migrations", auto_migrate=True)
    return warehouse


def started(answer):
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"success", "dag_run_id", "is_paused"}
    assert answer.json()["success"] is True
    return answer.json()["dag_run_id"]


def refused(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert (set(body), body["success"]) == ({"success", "detail"}, False)
    return body["detail"]


# By a program


def test_a_run_is_started_without_a_body(una, log_tee):
    with log_tee.listening() as heard:
        run_id = started(una.post(API, headers=JSON))
    (run,) = runs_of(DAG)
    assert (run.run_id, str(run.state), run.conf, run.triggering_user_name) == (run_id, "queued", {}, "ann")
    assert f"ann started the run {run_id} of the DAG {DAG}." in "".join(heard)


def test_the_params_are_the_dags(una):
    body = {"mode": "full", "direction": "any", "statuses": ["new", "Closed"], "max_pages": 3, "dry_run": True}
    started(una.post(API, headers=JSON, json=body))
    (run,) = runs_of(DAG)
    assert run.conf == body


def test_the_answer_says_that_the_dag_is_paused(una):
    for is_paused in (True, False):
        with paused(DAG, is_paused=is_paused):
            answer = una.post(API, headers=JSON)
            assert answer.json()["is_paused"] is is_paused
            set_run(answer.json()["dag_run_id"], "success", {})


def test_switched_off_is_400(ann, known_dags):
    assert "switched off" in refused(ann.post(API, headers=JSON), 400)
    assert "partner_center_enabled" in refused(ann.post(API, headers=JSON), 400)
    assert runs_of(DAG) == []


def test_a_flag_that_is_none_is_told(ann, known_dags, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "perhaps")
    answer = ann.post(API, headers=JSON)
    assert (answer.status_code, "neither true nor false" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_while_one_runs_it_is_409(una, state):
    run_id = started(una.post(API, headers=JSON))
    set_run(run_id, state, {})
    assert "queued or running already" in refused(una.post(API, headers=JSON), 409)
    assert len(runs_of(DAG)) == 1
    set_run(run_id, "success", {})
    started(una.post(API, headers=JSON))


def test_of_presses_at_once_one_starts_a_run(client_of, una):
    gate = threading.Barrier(4)

    def press(_):
        browser = client_of("ann")
        gate.wait()
        return browser.post(API, headers=JSON).status_code

    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(press, range(4))) == [200, 409, 409, 409]
        *_, last = runs_of(DAG)
        set_run(last.run_id, "success", {})
    assert len(runs_of(DAG)) == 3


@pytest.mark.parametrize(
    "body",
    [{"mode": "quick"}, {"direction": "incoming"}, {"max_pages": "many"}, {"pages": 1}, [], {"dry_run": "perhaps"}],
)
def test_a_body_of_another_shape_is_422(una, body):
    assert una.post(API, headers=JSON, json=body).status_code == 422
    assert runs_of(DAG) == []


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_no_json_is_422(una, kind):
    assert una.post(API, headers={**JSON, "content-type": kind}, content=b"mode=full").status_code == 422
    assert runs_of(DAG) == []


@pytest.mark.parametrize("body", [{"statuses": ["Newest"]}, {"statuses": []}, {"max_pages": 0}])
def test_what_the_dag_does_not_take_is_told(una, body):
    assert "does not take these params" in refused(una.post(API, headers=JSON, json=body), 400)
    assert runs_of(DAG) == []


def test_a_dag_that_airflow_does_not_know_is_404(una, monkeypatch):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CONNECTIONS", "partner_center_north")
    detail = refused(una.post(f"{API}?connection=partner_center_north", headers=JSON), 404)
    assert f"Airflow does not know the DAG {DAG}__north" in detail


# By the buttons


def test_a_button_leads_to_the_run(una):
    answer = una.post(FORM, headers=OWN, data={"mode": "full"})
    (run,) = runs_of(DAG)
    assert (answer.status_code, run.conf) == (303, {"mode": "full", "dry_run": False})
    assert answer.headers["location"] == f"{ROOT}/runs/{quote(run.run_id, safe='')}"
    again = una.post(FORM, headers=OWN)
    assert (again.status_code, "queued or running already" in again.text, "<html" in again.text) == (409, True, True)
    assert f"{ROOT}/runs/{quote(run.run_id)}" in again.text


def test_with_htmx_the_runs_progress_comes_in_the_buttons_place(una):
    answer = una.post(FORM, headers=HTMX, data={"dry_run": "true"})
    (run,) = runs_of(DAG)
    assert (answer.status_code, run.conf["dry_run"], "<html" in answer.text) == (200, True, False)
    assert 'hx-trigger="every 2s"' in answer.text
    assert "It waits for Airflow to begin it" in answer.text
    again = una.post(FORM, headers=HTMX)
    assert (again.status_code, "<html" in again.text) == (409, False)
    assert "queued or running already" in again.text


def test_a_refusal_by_a_guard_is_a_part_of_a_page_too(client_of, known_dags, simulator):
    for client, status in ((client_of(), 401), (client_of("vic", "VIEWER"), 403)):
        answer = client.post(FORM, headers=HTMX)
        assert (answer.status_code, "<html" in answer.text, 'class="box bad"' in answer.text) == (status, False, True)


def test_a_wrong_field_of_the_form_starts_nothing(una):
    assert una.post(FORM, headers=OWN, data={"mode": "quick"}).status_code == 422
    assert runs_of(DAG) == []


def test_the_quarantine_is_replayed_also_while_the_sync_is_off(ann, known_dags):
    answer = ann.post(REPLAY, headers=OWN, data={"reason": "no_id"})
    (run,) = runs_of(REPLAY_DAG)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOT}/quarantine")
    assert run.conf == {"reason": "no_id"}
    assert ann.post(REPLAY, headers=OWN).status_code == 409
    set_run(run.run_id, "success", {})
    shown = ann.post(REPLAY, headers=HTMX)
    assert (shown.status_code, REPLAY_DAG in shown.text) == (200, True)
    assert runs_of(REPLAY_DAG)[-1].conf == {}


@pytest.mark.parametrize(
    ("given", "told", "are_open"),
    [
        ({"may_sync": True, "is_enabled": True, "running": None}, "", True),
        ({"may_sync": False, "is_enabled": True, "running": None}, "it needs the right to trigger", False),
        ({"may_sync": True, "is_enabled": False, "running": None}, "The sync is switched off", False),
        ({"may_sync": True, "is_enabled": True, "running": "manual__a:b+c"}, "/runs/manual__a%3Ab%2Bc", False),
    ],
)
def test_a_button_that_cannot_be_pressed_says_why(airflow_home, given, told, are_open):
    from partner_center.accounts import DEFAULT
    from partner_center.ui import rendering

    values = {"root": ROOT, "account": DEFAULT, "account_query": "", **given}
    text = rendering._templates().get_template("sync_buttons.html").render(values)
    assert (told in text, text.count("disabled>")) == (True, 0 if are_open else 3)
    assert re.findall(r">([\w ]+)</button>", text) == ["Sync now", "Full sweep", "Dry run"]


# Progress


def progress(client, run_id, query="", headers=HTMX):
    return client.get(f"{ROOT}/runs/{quote(run_id, safe='')}/progress{query}", headers=headers)


def test_a_run_that_airflow_does_not_know_is_404(una):
    for run_id in ("manual__2026-11-25T10:00:00+00:00", "../../healthz", "x" * 300, "<b>"):
        answer = progress(una, run_id)
        assert (answer.status_code, "<b>" in answer.text) == (404, False)


def test_the_first_run_of_all_has_no_tables_yet(una):
    text = progress(una, started(una.post(API, headers=JSON))).text
    assert "cannot be read" not in text
    tasks = re.findall(r"<li>(\w+)", text)
    assert tasks[:2] + tasks[-2:] == ["acquire_token", "fetch_pages", "verify_counts", "close_run"]


def test_progress_goes_on_until_the_run_ends(una, migrated):
    run_id = started(una.post(API, headers=JSON))
    queued = progress(una, run_id)
    assert (queued.status_code, "every 2s" in queued.text, "<html" in queued.text) == (200, True, False)
    assert "waiting" in queued.text
    set_run(run_id, "running", {"acquire_token": "success", "fetch_pages": "running"})
    running = progress(una, run_id).text
    assert "fetch_pages <span" in running
    assert '<span class="badge running">running</span>' in running
    set_run(run_id, "failed", {"fetch_pages": "failed", "filter_referrals": "upstream_failed"})
    failed = progress(una, run_id).text
    assert "hx-get" not in failed
    assert "The log of fetch_pages in Airflow says more" in failed
    assert "upstream failed" in failed


def test_what_has_not_changed_is_not_sent_again(una, migrated):
    run_id = started(una.post(API, headers=JSON))
    (polled,) = re.findall(r'hx-get="([^"]+)"', progress(una, run_id).text)
    polled = polled.replace("&amp;", "&")
    assert una.get(polled, headers=HTMX).status_code == 204
    set_run(run_id, "running", {"acquire_token": "running"})
    changed = una.get(polled, headers=HTMX)
    assert (changed.status_code, polled in changed.text) == (200, False)


def test_the_counts_come_as_they_are_taken(una, migrated):
    from partner_center import runs
    from tests.support.sync import request_of

    run_id = started(una.post(API, headers=JSON))
    runs.open_run(request_of(run_id))
    runs.note_fetched(run_id, {"pages": 12, "fetched": 1234, "quarantined": 1})
    text = progress(una, run_id).text
    assert "1\N{NARROW NO-BREAK SPACE}234" in text
    assert ("Fetched" in text, "Persisted" in text) == (True, False)


@pytest.mark.slow
def test_a_run_that_succeeded_shows_its_funnel(una, run_sync):
    run = run_sync()
    text = progress(una, run.run_id).text
    assert "Every row is accounted for" in text
    assert text.count('<span class="badge success">') == 8
    for name, count in (("Fetched", "fetched"), ("Eligible", "eligible"), ("Persisted", "persisted")):
        assert re.search(rf'{name}</dt>\s*<dd class="number">{run.counts[count]}</dd>', text)


def test_a_run_that_was_skipped_is_no_success(una, sync_runner, warehouse, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "false")
    from partner_center import warehouse as ours
    from tests.support.environment import ROOT as HERE

    ours.ensure_schema(HERE / "include" / "migrations", auto_migrate=True)
    run = sync_runner()
    text = progress(una, run.run_id).text
    assert "The sync is switched off: no call was made" in text
    assert '<span class="badge skipped">skipped</span></h2>' in text


def test_a_warehouse_that_is_away_does_not_stop_the_states(una, monkeypatch):
    run_id = started(una.post(API, headers=JSON))
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", '{"conn_type": "postgres", "host": "127.0.0.1", "port": 1}')
    answer = progress(una, run_id)
    assert (answer.status_code, "every 2s" in answer.text) == (200, True)
    assert "The counts cannot be read just now" in answer.text
