"""Sign-in as the script does it: by a browser that comes back to this machine, and with a token from standard input."""

import html
import importlib.util
import io
import re
import sys
import threading

import pytest
import requests

from partner_center.errors import ApiUnavailable, SignInRequired
from tests.support.environment import ROOT

SCRIPT = ROOT / "scripts" / "partner_center_device_code_flow.py"


@pytest.fixture
def script():
    """Give the script's main, as a function of its arguments."""
    spec = importlib.util.spec_from_file_location("device_code_flow", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def main(*arguments):
        before, sys.argv = sys.argv, [str(SCRIPT), *arguments]
        try:
            return module.main()
        finally:
            sys.argv = before

    return main


class Browser:
    """A person's browser: visits the address that the script shows, and posts what the login's page holds."""

    def __init__(self, simulator, **changes):
        self.simulator = simulator
        self.changes = changes
        self.visited = []
        self.thread = None

    def show(self, line):
        if line.startswith("https://"):
            self.thread = threading.Thread(target=self.visit, args=(line,))
            self.thread.start()

    def visit(self, address):
        page = requests.get(address, verify=self.simulator.ca, timeout=10).text
        target = html.unescape(re.search(r'action="([^"]+)"', page)[1])
        fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page))
        form = {name: html.unescape(value) for name, value in fields.items()} | self.changes
        self.visited.append((target, requests.post(target, data=form, timeout=10).text))


def hook():
    from partner_center.hook import PartnerCenterHook

    return PartnerCenterHook()


def test_a_browser_comes_back_to_this_machine(simulator, warehouse, variables):
    from partner_center.sign_in import by_browser

    simulator.control.settings(auto_approve=True)
    browser = Browser(simulator)
    report = by_browser(browser.show, hook(), 0)
    browser.thread.join(10)
    assert report.problem is None
    assert report.lines()[0].startswith(f"Signed in as s***@partner.example in the tenant {simulator.tenant}, until 20")
    ((target, answer),) = browser.visited
    assert re.fullmatch(r"http://localhost:\d+/?", target)
    assert "Authentication complete" in answer


def test_a_browser_with_another_state_signs_nobody_in(simulator, warehouse, variables, monkeypatch):
    from partner_center import sign_in

    monkeypatch.setattr(sign_in, "BROWSER_SECONDS", 2)
    simulator.control.settings(auto_approve=True)
    with pytest.raises(SignInRequired) as caught:
        sign_in.by_browser(Browser(simulator, state="another").show, hook(), 0)
    assert caught.value.reason == "answer_mismatch"
    assert hook().tokens.signed_in() is None


def test_a_declined_browser_sign_in_is_told(simulator, warehouse, variables):
    from partner_center import sign_in

    simulator.control.settings(auto_approve=True, conditional_access_block=True)
    with pytest.raises(SignInRequired) as caught:
        sign_in.by_browser(Browser(simulator).show, hook(), 0)
    assert caught.value.reason == "conditional_access"


def test_a_refresh_token_comes_by_standard_input(simulator, warehouse, signed_in, script, monkeypatch, capsys):
    from airflow.models.variable import Variable

    (secret,) = (name for name, token in simulator.control._state.tokens.refresh.items() if not token.superseded)
    Variable.delete("partner_center_token_cache")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{secret}\n"))
    assert script("--refresh-token") == 0
    out = capsys.readouterr().out
    assert "Signed in as s***@partner.example" in out
    assert "lets this account read referrals" in out
    assert secret not in out
    assert hook().tokens.signed_in().account == "s***@partner.example"
    simulator.control.clear_violations()  # the token that it came with is good, and elsewhere


def test_no_refresh_token_at_all_is_told(simulator, warehouse, variables, script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert script("--refresh-token") == 1
    assert "No refresh token came by standard input" in capsys.readouterr().err


def test_an_account_without_the_role_is_signed_in_and_told(simulator, warehouse, signed_in):
    from partner_center.sign_in import report

    simulator.control.faults([{"kind": "403-role"}])
    found = report("partner_center_default")
    assert found.problem.reason == "role_missing"
    assert "The sign-in is kept" in found.lines()[1]
    with pytest.raises(type(found.problem)):
        found.raise_if_refused()


def test_an_api_that_is_down_says_nothing_about_the_account(simulator, warehouse, signed_in, short_waits):
    from partner_center.sign_in import report

    simulator.control.faults([{"kind": "html502"}])
    found = report("partner_center_default")
    assert isinstance(found.problem, ApiUnavailable)
    found.raise_if_refused()
