"""Who gets in where: every route of the pages, asked by nobody, a viewer, a user and another site's page.

A route that is not in the table fails: whoever adds one says here who may use it.
"""

import pytest

from tests.support.pages import OWN, ROOT

# What a viewer gets of a route that reads, and whether a user may use one that changes something. A read that finds
# nothing (404) or cannot be answered (400, 503) has let the viewer in all the same.
READS, CHANGES = "reads", "changes"
# It shows what only somebody who may change something has begun.
OF_CHANGES = "of changes"
PUBLIC = {("GET", "/static"), ("GET", "/healthz")}
ROUTES = {
    ("GET", "/sign-in"): READS,
    ("POST", "/sign-in/start"): CHANGES,
    # It comes from another site, as it must; the state binds it.
    ("GET", "/sign-in/callback"): CHANGES,
    ("POST", "/api/v1/referrals/sync"): CHANGES,
    ("POST", "/sync"): CHANGES,
    ("POST", "/quarantine/replay"): CHANGES,
    ("GET", "/runs/{run_id}/progress"): READS,
    ("GET", "/metrics"): READS,
    ("POST", "/sign-in/device"): CHANGES,
    ("GET", "/sign-in/device/{key}"): OF_CHANGES,
    ("POST", "/sign-in/device/{key}"): CHANGES,
    ("POST", "/sign-out"): CHANGES,
    ("GET", "/"): READS,
    ("GET", "/inbox"): READS,
    ("GET", "/referral"): READS,
    ("GET", "/domains"): READS,
    ("GET", "/domains/{domain}"): READS,
    ("GET", "/runs"): READS,
    ("GET", "/runs/{run_id}"): READS,
    ("GET", "/quarantine"): READS,
    ("GET", "/skipped"): READS,
    ("GET", "/openapi.json"): READS,
    ("GET", "/api/v1/referrals"): READS,
    ("GET", "/api/v1/referrals/export.csv"): READS,
    ("GET", "/api/v1/referrals/{referral_id:path}"): READS,
    ("POST", "/links/set"): CHANGES,
    ("POST", "/links/clear"): CHANGES,
}
FROM_ELSEWHERE = {("GET", "/sign-in/callback")}


def routes():
    """Return every way into the app, whatever it was made with."""
    from partner_center.ui.app import create_app

    return {(method, route.path) for route in create_app().routes for method in methods_of(route)}


def methods_of(route):
    return getattr(route, "methods", None) or ["GET"]


def test_the_table_has_every_route(airflow_home):
    found = routes()
    assert len(found) >= 4
    assert found - set(ROUTES) - PUBLIC == set()
    assert set(ROUTES) - found == set()


def ask(client, route, headers=OWN):
    method, path = route
    return client.request(method, ROOT + path, headers=headers)


def test_every_route_wants_a_log_in(client_of, variables, simulator):
    nobody = client_of()
    assert {route: ask(nobody, route).status_code for route in ROUTES} == dict.fromkeys(ROUTES, 401)
    nobody.cookies.set("_token", "forged")
    assert {ask(nobody, route).status_code for route in ROUTES} <= {401, 403}
    assert simulator.control.requests() == []


def test_a_viewer_may_read_and_nothing_else(client_of, variables, simulator, warehouse):
    viewer = client_of("vic", "VIEWER", raise_server_exceptions=False)
    answers = {route: ask(viewer, route).status_code for route in ROUTES}
    changing = {route for route, what in ROUTES.items() if what != READS}
    assert {route: answers[route] for route in changing} == dict.fromkeys(changing, 403)
    assert {answers[route] for route in set(ROUTES) - changing} <= {200, 400, 404, 422, 503}
    assert simulator.control.requests() == []


@pytest.mark.parametrize("role", ["USER", "OP", "ADMIN"])
def test_who_may_change_the_dag_is_let_in_everywhere(client_of, variables, simulator, warehouse, role):
    # To Airflow's simple auth manager, whoever may trigger a DAG may edit it, too.
    person = client_of("una", role, raise_server_exceptions=False)
    answers = {route: ask(person, route).status_code for route in ROUTES}
    assert {route: status for route, status in answers.items() if status in {401, 403, 500}} == {}


def test_no_other_site_can_make_a_browser_change_anything(ann, simulator):
    changing = {route for route, what in ROUTES.items() if what == CHANGES} - FROM_ELSEWHERE
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        assert {ask(ann, route, headers).status_code for route in changing} == {403}
    assert simulator.control.requests() == []


def test_what_changes_something_is_no_get():
    gets = {route for route, what in ROUTES.items() if what == CHANGES and route[0] in {"GET", "HEAD"}}
    assert gets == FROM_ELSEWHERE
