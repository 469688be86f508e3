"""What a finding says: the parts of an error's message, each in its place, and nothing that must not be shown."""

import pytest

from partner_center import findings
from partner_center.errors import ApiUnavailable, ConfigurationError, SignInRequired
from partner_center.reasons import REASONS


@pytest.mark.parametrize("code", REASONS)
def test_each_reason_is_taken_apart(code):
    reason = REASONS[code]
    error = SignInRequired(code, reason.tell("The login says: AADSTS1: No."))
    finding = findings.of_error(error)
    assert finding.found == f"{reason.meaning}. The login says: AADSTS1: No."
    assert finding.reason == code
    assert finding.advice == f"{reason.remedy} Who: {reason.who}. More: docs/sign-in-problems.md#{code}"
    assert finding.line().count(f"[{code}]") == 1


@pytest.mark.parametrize(
    ("message", "found", "advice"),
    [
        ("No x is set. Set it.", "No x is set.", "Set it."),
        ("At 127.0.0.1, port 1: Connection refused. Start it. Then wait.", "At 127.0.0.1, port 1: Connection refused.",
         "Start it. Then wait."),
        ("One sentence only", "One sentence only", ""),
        ("Two\nlines. Of one message.", "Two lines.", "Of one message."),
        ("Somebody, a.b@contoso.com, did it. Ask.", "Somebody, a***@contoso.com, did it.", "Ask."),
    ],
)  # fmt: skip
def test_another_message_is_taken_apart_after_its_first_sentence(message, found, advice):
    finding = findings.of_error(ConfigurationError(message))
    assert (finding.status, finding.found, finding.reason, finding.advice) == ("NOT OK", found, "", advice)
    assert len(finding.line().splitlines()) == 1


def test_a_hint_comes_first_where_something_is_away():
    assert findings.of_error(ApiUnavailable("It is away. Wait."), "Start it.").advice == "Start it. Wait."
    assert findings.of_error(ConfigurationError("It is wrong. Mend it."), "Start it.").advice == "Mend it."


def test_what_nobody_foresaw_is_told_by_its_type_and_place():
    try:
        findings.of_reason("no such code")
    except KeyError as err:
        finding = findings.unexpected(err)
    assert finding.found.startswith("An unexpected KeyError at partner_center.findings, line ")
    assert "no such code" not in finding.line()
    assert findings.unexpected(ValueError("secret")).found == "An unexpected ValueError at an unknown place, line 0."


@pytest.mark.parametrize(
    ("statuses", "code"), [([], 0), (["ok", "warning", "skipped"], 0), (["ok", "NOT OK"], 1), (["NOT OK"], 1)]
)
def test_a_warning_is_no_failure(statuses, code):
    assert findings.exit_code(findings.Finding("name", status, "") for status in statuses) == code
