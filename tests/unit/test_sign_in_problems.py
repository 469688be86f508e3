"""docs/sign-in-problems.md is whole: a section for each reason, with who can end it and what it is recognised by."""

import re

import pytest

from partner_center import reasons
from partner_center.reasons import REASONS
from tests.support.environment import ROOT

TEXT = (ROOT / reasons.DOCUMENT).read_text(encoding="utf-8")
PROBLEMS, _, _ = TEXT.partition("\n# Signing in, and what is kept\n")
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PROBLEMS, flags=re.MULTILINE | re.DOTALL))

# Numbers that a section names beside those of reasons.py: the flow and busy answers are told by `error`, and
# a policy that blocks device codes answers as any policy.
BESIDE = {
    "code_expired": {70016, 70018, 70019, 70020},
    "device_code_blocked": {53003, 530003},
    "login_unreachable": {90024, 90033, 50196},
}


def numbers_of(code):
    return {number for number, reason in reasons._BY_NUMBER.items() if reason == code}


def test_there_is_a_section_for_each_reason_and_for_nothing_else():
    assert list(SECTIONS) == list(REASONS)
    assert re.findall(r"^## .*$", TEXT, flags=re.MULTILINE) == [f"## {code}" for code in REASONS]


def test_the_table_lists_them_all_in_the_words_of_the_messages():
    rows = re.findall(r"^\| \[(\S+)\]\(#(\S+)\) \| (.*) \| (.*) \|$", TEXT, flags=re.MULTILINE)
    assert rows == [(reason.code, reason.code, reason.meaning, reason.who) for reason in REASONS.values()]


@pytest.mark.parametrize("code", REASONS)
def test_a_section_says_who_what_and_how_to_check(code):
    section = SECTIONS[code]
    assert re.findall(r"\*\*Who:\*\* (.*)", section) == [REASONS[code].who]
    for part in ("**You see:**", "**Do", "**Check:**"):
        assert section.count(part) == 1, part
    assert len(section.splitlines()) <= 45, "about a page, not more"


@pytest.mark.parametrize("code", REASONS)
def test_every_number_stands_in_the_section_of_its_reason(code):
    named = {int(number) for number in re.findall(r"AADSTS(\d+)", SECTIONS[code])}
    assert named == numbers_of(code) | BESIDE.get(code, set())


@pytest.mark.parametrize(("suberror", "code"), reasons._BY_SUBERROR.items())
def test_every_suberror_stands_in_the_section_of_its_reason(suberror, code):
    assert [each for each, section in SECTIONS.items() if f"`{suberror}`" in section] == [code]


def test_every_check_and_link_exists():
    from partner_center.doctor import CHECKS

    checks = {check.name for check in CHECKS}
    for code, section in SECTIONS.items():
        text = section.partition("**Check:**")[2]
        named = set(re.findall(r"`(\w+)`", text)) - {"partner_center_sign_in_state"}
        assert named <= checks, code
        assert named or "Signed in as" in text, code
    anchors = set(REASONS) | {"ways-to-sign-in"}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= anchors
    for target in re.findall(r"\]\((adr/[^)]+)\)", TEXT):
        assert (ROOT / "docs" / target).is_file()


def test_every_message_leads_to_its_section():
    for code, reason in REASONS.items():
        assert reason.tell().endswith(f"More: {reasons.DOCUMENT}#{code}")
