"""The runbooks are whole: a section for each reason that the code can give, and a way for each command to be run."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import partner_center
from partner_center import errors, referral
from partner_center.errors import PartnerCenterError
from tests.support import runbooks
from tests.support.environment import ROOT

RUNBOOKS = ROOT / "docs" / "runbooks"
FILES = sorted(RUNBOOKS.glob("*.md"))
REASONS = (RUNBOOKS / "failure-reasons.md").read_text(encoding="utf-8")
RUNS, _, REST = REASONS.partition("\n# Health\n")
HEALTH, _, REST = REST.partition("\n# The quarantine\n")
QUARANTINE, _, DOCTOR = REST.partition("\n# The doctor\n")
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^#{1,2} |\Z)", RUNS, flags=re.MULTILINE | re.DOTALL))
# What ends a run without an error of ours: as steps.py and runs.py tell it.
OTHERS = {
    "switched-off": "The sync is switched off: no call was made",
    "worker-lost": "The run ended without a word",
    "unexpected": "Unexpected {type(err).__name__}; the task's log tells more",
}


def subclasses(of):
    return {each for child in of.__subclasses__() for each in {child} | subclasses(child)}


def error_names():
    for module in pkgutil.iter_modules(partner_center.__path__):
        if module.name not in {"ui", "operators", "retry_policy", "hook", "sign_in_operator", "sign_in_trigger"}:
            importlib.import_module(f"partner_center.{module.name}")
    # Those of the pages are told there, and whether they are imported depends on other tests.
    ours = {each for each in subclasses(PartnerCenterError) if re.match(r"partner_center\.(?!ui\.)", each.__module__)}
    return {each.__name__ for each in ours if not each.__name__.startswith("_")}


def first_cells(text):
    return [re.sub("…$", "", cell) for cell in re.findall(r"^\| `(\S+)` \|", text, flags=re.MULTILINE)]


def test_there_is_a_section_for_each_error_and_for_nothing_else():
    assert set(SECTIONS) == error_names() | set(OTHERS)
    assert "WarehouseUnavailable" in SECTIONS  # so the search finds those outside of errors.py


def test_the_other_endings_are_told_by_the_code_as_the_sections_know_them():
    library = ROOT / "plugins" / "partner_center"
    code = "".join((library / name).read_text(encoding="utf-8") for name in ("steps.py", "runs.py"))
    assert {name for name, words in OTHERS.items() if words not in code} == set()


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_says_what_is_seen_what_to_do_and_when_it_is_over(name):
    for part in ("**You see:**", "**Do:**", "**Over when:**"):
        assert SECTIONS[name].count(part) == 1, part


def test_health_quarantine_and_doctor_are_whole():
    from partner_center.doctor import CHECKS
    from partner_center.ui.health import STATUSES

    assert set(first_cells(HEALTH)) == set(STATUSES)
    known = {value for name, value in vars(referral).items() if re.fullmatch("[A-Z0-9_]+", name) and type(value) is str}
    assert set(first_cells(QUARANTINE)) == known | {"refused_by_postgres_"}
    assert first_cells(DOCTOR) == [check.name for check in CHECKS]


def anchors(path):
    text = path.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles} | set(
        re.findall(r'<a id="([^"]+)"', text)
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target, _, anchor in (
        link.partition("#") for link in re.findall(r"\]\((?!https:)([^)]+)\)", path.read_text("utf-8"))
    ):
        found = (path.parent / target).resolve() if target else path
        assert found.is_file(), target
        assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


def test_the_index_names_every_runbook():
    named = set(re.findall(r"\(([\w-]+\.md)\)", (RUNBOOKS / "README.md").read_text("utf-8")))
    assert named == {path.name for path in FILES} - {"README.md"}


def test_every_message_of_an_error_class_has_its_docstring():
    assert all(each.__doc__ for each in subclasses(errors.PartnerCenterError))


TEXT = """
1. So:

   ```sh
   one
     two …
   ```

   ```text
   a … c
   ```

<!-- runs: compose -->
```sql
select 1;
```

<!-- not run: nobody can -->

```sh
three
```
```text
no output of the one above
```
"""


def test_blocks_are_found_with_what_they_show_and_where_they_run(tmp_path, monkeypatch):
    monkeypatch.setattr(runbooks, "ROOT", tmp_path)
    path = tmp_path / "a.md"
    path.write_text(TEXT, encoding="utf-8")
    first, second, third = runbooks.blocks(path)
    assert (str(first), first.language, first.code, first.shown, first.where) == (
        "a.md:4", "sh", "one\n  two …", "a … c", "here",
    )  # fmt: skip
    assert (second.language, second.code, second.shown, second.where) == ("sql", "select 1;", "", "compose")
    assert (third.where, third.why) == ("nowhere", "nobody can")


@pytest.mark.parametrize(
    ("code", "shown", "given", "said"),
    [
        ("echo a b c", "a … c", {}, None),
        ("echo a b c", "a … d", {}, "and there came"),
        ("echo …", "", {}, "nothing is given"),
        ("echo …", "x", {"…": "x"}, None),
        ("false | true", "", {}, "ended with 1"),
    ],
)
def test_a_command_that_fails_or_shows_something_else_fails(code, shown, given, said):
    scene = runbooks.Scene({"PATH": "/usr/bin:/bin"}, "", given)
    block = runbooks.Block("a.md", 1, "sh", code, shown, "here")
    if said is None:
        scene.run(block)
    else:
        with pytest.raises(AssertionError, match=said):
            scene.run(block)
