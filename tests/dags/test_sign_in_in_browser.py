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


def framed(page):
    """Show the page in a frame like Airflow's, and return the page around it and the frame."""
    address, outside = page.url, page.context.pages[0]
    outside.evaluate(FRAME, address)
    return outside, outside.frame_locator("iframe")


def test_within_airflows_frame_a_link_leads_out(airflow, page):
    _, inside = framed(page)
    assert inside.get_by_text(page.url, exact=True).inner_text() == page.url
    assert inside.get_by_role("button", name="Sign in with this browser").count() == 0
    with page.context.expect_page() as opened:
        inside.get_by_role("link", name="Open the sign-in page in a tab of its own").click()
    opened.value.get_by_role("button", name="Sign in with this browser").wait_for()


def test_within_airflows_frame_a_person_signs_in_with_a_code(airflow, simulator, page):
    _, inside = framed(page)
    inside.get_by_role("button", name="Show a code").click()
    code = inside.locator("#user-code").inner_text()
    with page.context.expect_page() as opened:
        inside.locator("#device-address").click()
    assert opened.value.url == f"{simulator.url}/device"
    assert list(variables(airflow)) != [CACHE]
    assert simulator.control.approve(code) == {"approved": 1}
    inside.get_by_text("Signed in as s***@partner.example").wait_for()
    assert list(variables(airflow)) == [CACHE]
    # Nothing polls any more.
    assert inside.locator("[hx-post]").count() == 0


def test_a_person_signs_out(airflow, simulator, page):
    simulator.control.settings(auto_approve=True)
    page.get_by_role("button", name="Sign in with this browser").click()
    page.get_by_role("link", name="Who is signed in").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("Nobody is signed in").wait_for()
    assert variables(airflow) == {}
