"""The accounts: both equations, and every eligible referral in the table."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_center import report
from partner_center.errors import CountMismatch, ImplausibleSweep, TooManyQuarantined

GOOD = {
    "fetched": 250,
    "duplicates": 3,
    "quarantined": 2,
    "eligible": 80,
    "skipped": {"direction": 60, "status": 100},
    "closed": 5,
    "with_domain": 38,
    "without_domain": 42,
    "inserted": 70,
    "updated": 6,
    "unchanged": 9,
    "persisted": 80,
}
GENERATED = ("duplicates", "quarantined", "closed", "with_domain", "without_domain")
COUNT = st.integers(0, 10**6)


def refusal(counts):
    with pytest.raises(CountMismatch) as caught:
        report.check(counts)
    return str(caught.value)


def persisted_refusal(*arguments):
    with pytest.raises(CountMismatch) as caught:
        report.check_persisted(*arguments)
    return str(caught.value)


def read_back(persisted, **more):
    """What verify_counts.sql selects."""
    return {"persisted": persisted, "missing": 0, "missing_ids": [], "outdated": 0, "outdated_ids": []} | more


def load(eligible, **more):
    """The counts of a run whose load added up."""
    return {"eligible": eligible, "closed": 2, "inserted": eligible, "updated": 0, "unchanged": 2} | more


def test_accounts_that_add_up_pass():
    report.check(GOOD)
    report.check(GOOD | {"skipped": {}, "fetched": 90})


@pytest.mark.parametrize("name", ["fetched", "duplicates", "quarantined", "closed"])
@pytest.mark.parametrize("off", [-1, 1])
def test_one_row_too_many_or_too_few_is_told_with_both_sides(name, off):
    counts = GOOD | {name: GOOD[name] + off}
    message = refusal(counts)
    assert f"fetched {counts['fetched']}" in message
    assert f"{name} {counts[name]}" in message
    assert "clear fetch_pages" in message.lower()


@pytest.mark.parametrize("off", [-1, 1])
def test_a_skipped_row_too_many_or_too_few_is_told(off):
    assert f"skipped {160 + off}" in refusal(GOOD | {"skipped": {"direction": 60, "status": 100 + off}})


@pytest.mark.parametrize("name", ["with_domain", "without_domain"])
@pytest.mark.parametrize("off", [-1, 1])
def test_domains_that_do_not_add_up_are_told_with_both_sides(name, off):
    message = refusal(GOOD | {name: GOOD[name] + off})
    assert "eligible 80" in message
    assert str(GOOD[name] + off) in message
    assert "clear extract_domains" in message.lower()


@settings(max_examples=30, deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(GENERATED, COUNT)),
    st.dictionaries(st.sampled_from(["direction", "status", "other"]), COUNT),
    st.integers(-3, 3),
    st.integers(-3, 3),
)
def test_exactly_the_accounts_that_add_up_pass(counts, skipped, lost, undecided):
    eligible = counts["with_domain"] + counts["without_domain"] + undecided
    fetched = counts["duplicates"] + counts["quarantined"] + counts["closed"] + eligible + sum(skipped.values()) + lost
    counts |= {"eligible": eligible, "skipped": skipped, "fetched": fetched}
    if lost or undecided:
        refusal(counts)
    else:
        report.check(counts)


@pytest.mark.parametrize("eligible", [0, 1, 88])
def test_all_eligible_in_the_table_passes(eligible):
    report.check_persisted(load(eligible), read_back(eligible))


def ids(count):
    return [f"id-{number:02d}" for number in range(count)]


@pytest.mark.parametrize("kind", ["missing", "outdated"])
@pytest.mark.parametrize(("count", "named"), [(1, 1), (3, 3), (20, 20), (21, 20), (25, 20)])
def test_what_does_not_stand_is_counted_and_the_first_twenty_are_named(kind, count, named):
    persisted = 88 - count if kind == "missing" else 88
    message = persisted_refusal(load(88), read_back(persisted, **{kind: count, f"{kind}_ids": ids(count)[:20]}))
    assert message.startswith(f"{count} ")
    assert re.findall(r"id-\d\d", message) == ids(named)
    assert ("and more" in message) == (count > 20)
    assert "clear load_referrals" in message


@pytest.mark.parametrize("persisted", [0, 79, 81])
def test_another_number_than_eligible_is_no_success(persisted):
    assert f"{80 - persisted} of 80" in persisted_refusal(load(80), read_back(persisted))


@pytest.mark.parametrize("name", ["inserted", "updated", "unchanged", "closed"])
@pytest.mark.parametrize("off", [-1, 1])
def test_a_load_that_counts_a_row_twice_or_never_is_told(name, off):
    counts = load(80)
    counts[name] += off
    message = persisted_refusal(counts, read_back(80))
    assert "load's counts do not add up" in message
    assert f"{name} {counts[name]}" in message


def test_staging_that_is_as_counted_passes():
    report.check_staged(GOOD, staging_of(GOOD))


def staging_of(counts, **more):
    staged = counts["fetched"] - counts["quarantined"]
    return {"staged": staged, "staged_eligible": counts["eligible"], "staged_closed": counts["closed"]} | more


@pytest.mark.parametrize("name", ["staged", "staged_eligible", "staged_closed"])
@pytest.mark.parametrize("off", [-1, 1])
def test_staging_that_was_lost_or_read_anew_is_told_with_the_way_out(name, off):
    found = staging_of(GOOD)
    found[name] += off
    with pytest.raises(CountMismatch, match="Clear fetch_pages with everything after it"):
        report.check_staged(GOOD, found)


def test_the_funnel_names_every_count():
    line = report.funnel(GOOD)
    assert "\n" not in line
    for name in ("fetched", "duplicates", "quarantined", "eligible", "closed", "persisted", "inserted", "updated"):
        assert f"{name} {GOOD[name]}" in line
    assert "direction 60, status 100" in line
    assert "with a domain 38, without 42" in line


def test_the_funnel_without_skipped_rows_says_none():
    assert "skipped: none" in report.funnel(GOOD | {"skipped": {}})


@pytest.mark.parametrize(("vanished", "present", "share"), [(0, 0, 0), (20, 80, 0.2), (5, 0, 1), (0, 9, 0)])
def test_a_plausible_sweep_passes(vanished, present, share):
    report.check_sweep(vanished, present, share)


@pytest.mark.parametrize(("vanished", "present", "share"), [(21, 79, 0.2), (1, 0, 0.99), (1, 99, 0)])
def test_a_sweep_that_misses_more_than_the_share_names_numbers_and_the_way_out(vanished, present, share):
    with pytest.raises(ImplausibleSweep) as caught:
        report.check_sweep(vanished, present, share)
    text = str(caught.value)
    assert text.startswith(f"{vanished} of {vanished + present} stored referrals")
    assert "Nothing was changed" in text
    assert "partner_center_sweep_max_vanished_share" in text


@pytest.mark.parametrize(("quarantined", "rows", "share"), [(50, 50, 0), (26, 10, 0.2), (250, 250, 0), (3, 50, 0.001)])
def test_a_few_bad_rows_pass_by_number_or_by_share(quarantined, rows, share):
    report.check_quarantine(GOOD | {"quarantined": quarantined}, rows, share)


def test_bad_rows_above_both_limits_are_too_many():
    with pytest.raises(TooManyQuarantined, match=r"51 of 250 rows could not be stored.*replay_quarantine"):
        report.check_quarantine(GOOD | {"quarantined": 51}, 50, 0.2)


def test_a_load_of_rows_that_came_through_every_task_passes():
    report.check_decided({"undecided": 0, "unfinished": 0})


@pytest.mark.parametrize("counts", [{"undecided": 3, "unfinished": 0}, {"undecided": 0, "unfinished": 1}])
def test_a_load_of_a_part_is_refused(counts):
    with pytest.raises(CountMismatch, match=r"Nothing was changed\. Clear fetch_pages with everything after it"):
        report.check_decided(counts)
