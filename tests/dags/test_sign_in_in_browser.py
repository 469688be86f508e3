"""The sign-in page as a person uses it: all of Airflow, a real browser, and the simulator's pages for Microsoft's."""

from __future__ import annotations

import pytest

from tests.support.browser import chromium, log_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("airflow")]

CACHE = "partner_center_token_cache"
# As Airflow's UI shows a plugin's page that has a url_route.
FRAME = """address => {
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts allow-same-origin allow-forms allow-downloads";
    frame.src = address;
    document.body.replaceChildren(frame);
}"""


@pytest.fixture
def page(airflow):
    """The sign-in page, opened from Airflow's navigation."""
    with chromium() as context:
        home = log_in(context, airflow)
        home.get_by_role("button", name="Browse").click()
        with context.expect_page() as opened:
            home.get_by_text("Partner Center sign-in").click()
        yield opened.value


def variables(airflow):
    return {each["key"]: each["value"] for each in airflow.call("GET", "variables")["variables"]}


def test_a_person_signs_in_from_the_navigation(airflow, simulator, page):
    assert page.url == f"{airflow.url}/partner-center/sign-in"
    assert "Nobody is signed in" in page.inner_text("main")
    page.get_by_role("button", name="Sign in with this browser").click()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Signed in as s***@partner.example").wait_for()
    assert page.url.startswith(f"{airflow.url}/partner-center/sign-in/callback?")
    assert "Partner Center lets this account read referrals" in page.inner_text("main")
    assert list(variables(airflow)) == [CACHE]
    # Going back to the same address is a replay.
    page.reload()
    page.get_by_text("answer_mismatch").first.wait_for()
    page.get_by_role("link", name="Back to the sign-in").click()
    page.get_by_text("Signed in as s***@partner.example").wait_for()


def test_nobody_is_asked_where_a_session_at_microsoft_is_open(airflow, simulator, page):
    simulator.control.settings(auto_approve=True)
    page.get_by_role("button", name="Sign in with this browser").click()
    page.get_by_text("Signed in as s***@partner.example").wait_for()


def test_a_person_declines(airflow, page):
    page.get_by_role("button", name="Sign in with this browser").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("The sign-in was declined at Microsoft's page").wait_for()
    assert variables(airflow) == {}


def test_within_airflows_frame_the_page_shows_the_way_out(airflow, page):
    address, outside = page.url, page.context.pages[0]
    outside.evaluate(FRAME, address)
    inside = outside.frame_locator("iframe")
    inside.get_by_text("Copy this address into a tab of its own").wait_for()
    assert inside.get_by_text(address, exact=True).inner_text() == address
    assert inside.get_by_role("button").count() == 0
