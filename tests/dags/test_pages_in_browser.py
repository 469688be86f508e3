"""The pages as people use them: all of Airflow, a real browser, the simulator in the place of Partner Center."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import chromium, log_in
from tests.support.environment import ROOT
from tests.support.sync import Sync, referral

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("airflow")]

DAG = "partner_center_referral_sync"
RUN_MILLISECONDS = 120_000
NAMES = [
    "<img src=x onerror=alert(1)>",
    '=HYPERLINK("https://evil.example","x")',
    "Şişecam İstanbul Çağrı Müşteri Hizmetleri",  # noqa: RUF001 - Turkish has two letters i
    "Bäckerei Größenwahn & Söhne GmbH",
    "株式会社ノルドウィンド・トレーダーズ",
    "شركة الرياح الشمالية للتجارة",
    "Wörterohneleerzeichen" * 15,
    "many words " * 28,
]
PAGES = (
    "/",
    "/inbox",
    "/inbox?q=nothing-like-that",
    "/referral?id=id-0",
    "/domains",
    "/domains/customer-0.example",
    "/runs",
)
PAGES += ("/runs/run-1", "/quarantine", "/skipped", "/sign-in", "/nowhere")


class Watch:
    """What a browser's tabs complain of, and whom they ask beside Airflow."""

    def __init__(self, context: Any, own: str) -> None:
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self._own = own
        context.on("page", self._listen)
        for page in context.pages:
            self._listen(page)

    def _listen(self, page: Any) -> None:
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        is_ours = f"{self._own}/partner-center" in request.frame.url
        if is_ours and not request.url.startswith((self._own, "data:")):
            self.elsewhere.append(request.url)


TABLES = """
partner_center_referrals, partner_center_referral_history, partner_center_referral_versions, partner_center_quarantine,
partner_center_skipped, partner_center_sync_runs, partner_center_companies, partner_center_link_overrides
"""


@pytest.fixture(autouse=True)
def nothing_left(airflow_warehouse) -> Iterator[None]:
    """Leave the warehouse, which others share, as empty as it was."""
    yield
    if airflow_warehouse.value("select to_regclass('partner_center_referrals')"):
        airflow_warehouse.execute(f"truncate {TABLES}")


@pytest.fixture
def home(airflow) -> Iterator[Any]:
    """Airflow's first page, logged in."""
    with chromium() as context:
        yield log_in(context, airflow)


@pytest.fixture
def watch(home, airflow) -> Watch:
    """What goes wrong in the browser."""
    return Watch(home.context, airflow.url)


@pytest.fixture
def stored(airflow, airflow_warehouse, monkeypatch) -> Any:
    """Referrals with the names, and one row in each other list."""
    from partner_center.warehouse import ensure_schema

    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", airflow_warehouse.connection)
    ensure_schema(ROOT / "include" / "migrations", auto_migrate=True)
    airflow_warehouse.execute(f"truncate {TABLES}")
    rows = [named(number, name) for number, name in enumerate(NAMES * 8)]
    Sync(airflow_warehouse)(*rows, referral(900, status="Closed"), "no JSON")
    Sync(airflow_warehouse)(rows[0] | {"status": "Active", "updatedDateTime": "2026-11-02T00:00:00Z"}, run_id="run-2")
    return airflow_warehouse


def named(number: int, name: str) -> dict[str, Any]:
    member = {"firstName": name, "lastName": "Laine", "email": f"aino@customer-{number}.example"}
    return referral(
        number,
        name=name,
        createdDateTime="2026-10-01T00:00:00Z",
        expirationDateTime="2026-12-01T00:00:00Z",
        customerProfile={"name": name, "team": [member], "address": {"country": "FI"}},
        details={"dealValue": 12345.5, "currency": "EUR", "notes": name},
    )


def inside(home) -> Any:
    """Return the frame in which Airflow shows the pages."""
    return home.frame_locator("iframe")


def unpause(airflow) -> None:
    """Unpause the sync, and wait until the run that comes with that has been skipped: the flag is off."""
    airflow.call("PATCH", f"dags/{DAG}", {"is_paused": False})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        runs = airflow.call("GET", f"dags/{DAG}/dagRuns?order_by=-id&limit=1")["dag_runs"]
        if runs and runs[0]["state"] not in {"queued", "running"}:
            return
        time.sleep(0.5)
    raise AssertionError("no run came, or it did not end")


def test_the_first_ten_minutes_of_a_new_user(airflow, airflow_warehouse, simulator, home, watch):
    unpause(airflow)
    home.get_by_role("link", name="Referrals", exact=True).click()
    inside(home).get_by_role("link", name="Sign in to Partner Center").click()
    inside(home).get_by_role("button", name="Show a code").click()
    code = inside(home).locator(".code").inner_text()
    simulator.control.approve(code)
    inside(home).get_by_text("Signed in as s***@partner.example").first.wait_for()

    airflow.call("POST", "variables", {"key": "partner_center_enabled", "value": "true"})
    inside(home).get_by_role("link", name="Overview").click()
    inside(home).get_by_role("button", name="Full sweep").click()
    inside(home).get_by_text("Every row is accounted for.").wait_for(timeout=RUN_MILLISECONDS)
    counts = inside(home).locator("#progress .funnel").inner_text().split()
    assert counts[counts.index("Persisted") + 1] == "88"
    assert airflow_warehouse.value("select count(*) from partner_center_referrals") == 88

    inside(home).get_by_role("link", name="Inbox").click()
    inside(home).get_by_text("88 referrals").wait_for()
    inside(home).get_by_label("Type").select_option("co-sell")
    inside(home).get_by_text("referrals with this filter").wait_for()
    with home.expect_download() as download:
        inside(home).get_by_role("link", name="Export as CSV").click()
    shown = re.match(r"\d+", inside(home).locator("#results strong").inner_text())
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert {row["referral_type"] for row in rows} == {"co-sell"}
    assert len(rows) == int(shown[0])

    inside(home).locator("tbody a").first.click()
    inside(home).get_by_text("What happened").wait_for()
    assert (watch.complaints, watch.elsewhere) == ([], [])


def test_links_lead_out_of_airflows_frame(airflow, stored, home, watch):
    home.context.route("https://partner.microsoft.com/**", lambda route: route.fulfill(body="Partner Center itself"))
    home.goto(f"{airflow.url}/dags/partner_center_referral_sync/plugin/partner-center-dag")
    inside(home).get_by_role("link", name="Inbox").click()
    inside(home).locator("tbody a").first.click()
    with home.context.expect_page() as opened:
        inside(home).get_by_role("link", name="Open Partner Center's referrals").click()
    opened.value.get_by_text("Partner Center itself").wait_for()
    assert opened.value.evaluate("window.opener") is None
    inside(home).get_by_role("link", name="Runs").click()
    inside(home).get_by_role("link", name="Overview").click()
    inside(home).get_by_role("link", name="partner_center_referral_sync").click()
    home.wait_for_url(re.compile(r"/dags/partner_center_referral_sync$"))
    assert watch.elsewhere == []


def test_filters_by_keyboard_alone_and_the_address_holds_them(airflow, stored, home, watch):
    home.goto(f"{airflow.url}/partner-center/inbox")
    home.keyboard.press("Tab")
    assert home.evaluate("document.activeElement.textContent") == "Skip to the content"
    home.keyboard.press("Enter")
    home.keyboard.press("Tab")
    home.keyboard.type("größenwahn")
    home.get_by_text("8 referrals with this filter").wait_for()
    home.wait_for_url(re.compile(r"[?&]q=gr%C3%B6%C3%9Fenwahn"))
    assert "status=" not in home.url
    home.reload()
    home.get_by_text("8 referrals with this filter").wait_for()
    assert home.get_by_label("Search customer, deal, domain").input_value() == "größenwahn"
    home.go_back()
    home.get_by_text("64 referrals").wait_for()
    assert (watch.complaints, watch.elsewhere) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1920])
def test_every_page_in_each_theme_and_width(airflow, stored, home, watch, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    home.set_viewport_size({"width": width, "height": 900})
    home.evaluate("theme => localStorage.setItem('theme', theme)", scheme)
    for path in PAGES:
        home.goto(f"{airflow.url}/partner-center{path}")
        assert home.evaluate("document.documentElement.dataset.theme") == scheme
        too_wide = home.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert too_wide <= 0, f"{path} is {too_wide} pixels wider than the window"
        barriers = Axe().run(home).response["violations"]
        told = [(each["id"], [node["html"] for node in each["nodes"]]) for each in barriers if serious(each)]
        assert told == [], path
    missing = [text for text in watch.complaints if "404" not in text]
    assert (missing, watch.elsewhere) == ([], [])


def serious(barrier: dict[str, Any]) -> bool:
    return barrier["impact"] in {"serious", "critical"}


def test_times_are_the_viewers_own(airflow, stored, home):
    home.evaluate("localStorage.setItem('timezone', JSON.stringify('Asia/Tokyo'))")
    home.goto(f"{airflow.url}/partner-center/referral?id=id-1")
    created = home.locator("time[datetime='2026-10-01T00:00:00Z']").first
    assert "9:00" in created.inner_text()
