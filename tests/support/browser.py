"""The system's Chromium, without a window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.support.standalone import Airflow

NAMES = ("chromium", "chromium-browser", "google-chrome")
MILLISECONDS = 30_000


@contextmanager
def chromium() -> Iterator[BrowserContext]:
    """Start a browser without cookies, which takes the simulator's certificate; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("No Chromium on this machine (apt-get install chromium), so no page was seen in a browser.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root, nor in most containers.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(MILLISECONDS)
        yield context
        browser.close()


def log_in(context: BrowserContext, airflow: Airflow) -> Page:
    """Log in to Airflow as its administrator, and return its first page."""
    from tests.support.standalone import PASSWORD

    page = context.new_page()
    page.goto(airflow.url)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Browse").wait_for()
    return page
