"""`make screenshots`: the pictures of the pages, as a person sees them, in Airflow over the simulator."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from .plan import ROOT, Plan, make_plan
from .steps import StackError, say, step
from .up import running
from .warehouse_report import newest_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, StorageState

FOLDER = ROOT / "docs" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = (1440, 900), (375, 812)
RUN_SECONDS = 660  # where one has run here before, the next may be ten minutes away

Scheme = Literal["light", "dark"]


def screenshots() -> None:
    """Start Airflow over the simulator, let one run bring the referrals, and write the pictures.

    Raises:
        StackError: there is no Chromium, or a part did not start.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise StackError("No Chromium is on this machine.", "Debian and Ubuntu: apt-get install chromium.", None)
    plan = make_plan(dotenv=False)
    say("Partner Center referral sync: screenshots")
    begun = datetime.now(UTC)
    with running(plan) as (_, user, password):
        wait_for_run(plan, begun)
        from playwright.sync_api import sync_playwright

        FOLDER.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright, step("Pictures into docs/screenshots"):
            # Chromium's sandbox does not work for root, nor in most containers.
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            take(browser, plan.environment["AIRFLOW__API__BASE_URL"], user, password or "")


def wait_for_run(plan: Plan, begun: datetime) -> None:
    """Wait until a run that started since then has come to its end.

    Raises:
        StackError: it has not.
    """
    with step("The first scheduled run"):
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            run = newest_run(plan)
            if run is not None and run["started_at"] > begun and run["state"] != "running":
                return
            time.sleep(1)
        raise StackError(f"No run ended within {RUN_SECONDS} s.", "Read .local/logs/airflow.log.", None)


def take(browser: Browser, url: str, user: str, password: str) -> None:
    """Log in and take the pictures: within Airflow, then the pages alone, dark, and on a phone."""
    page = window(browser, WIDE, "light")
    log_in(page, url, user, password)
    page.goto(f"{url}/plugin/partner-center")
    page.frame_locator("iframe").get_by_role("heading", name="Partner Center referrals").wait_for()
    picture(page, "overview")
    pages = f"{url}/partner-center"
    page.goto(f"{pages}/inbox")
    picture(page, "inbox")
    page.locator("tbody tr").nth(3).get_by_role("link").first.click()
    picture(page, "referral")
    state = page.context.storage_state()
    others: list[tuple[str, tuple[int, int], Scheme]] = [("inbox-dark", WIDE, "dark"), ("inbox-phone", PHONE, "light")]
    for name, size, scheme in others:
        other = window(browser, size, scheme, state)
        other.goto(f"{pages}/inbox")
        picture(other, name)


def window(browser: Browser, size: tuple[int, int], scheme: Scheme, state: StorageState | None = None) -> Page:
    """Open a window of a size, for somebody who likes it light or dark."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, storage_state=state
    )
    return context.new_page()


def log_in(page: Page, url: str, user: str, password: str) -> None:
    """Log in to Airflow by its form."""
    page.goto(url)
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Browse").wait_for()


def picture(page: Page, name: str) -> None:
    """Write what the window shows, once everything has come."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    page.screenshot(path=FOLDER / f"{name}.png")
