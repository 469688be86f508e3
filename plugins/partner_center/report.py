"""The accounts of a run: every row that the API sent stands in exactly one count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partner_center.errors import CountMismatch, ImplausibleSweep, TooManyQuarantined
from partner_center.settings import QUARANTINE_ROWS_VARIABLE, QUARANTINE_SHARE_VARIABLE, VANISHED_SHARE_VARIABLE

NAMED_IDS = 20
"""So many ids are named in an error."""

_WHAT_TO_DO = (
    "Look for a trigger, rule or row-level policy on the table, then clear load_referrals with what follows, or wait "
    "for the next full run."
)


def check(counts: Mapping[str, Any]) -> None:
    """Check the two equations.

    Args:
        counts: as `verify_counts` returns them.

    Raises:
        CountMismatch: an equation does not hold; the message shows both sides.
    """
    skipped = sum(counts["skipped"].values())
    accounted = counts["duplicates"] + counts["quarantined"] + counts["eligible"] + skipped + counts["closed"]
    if counts["fetched"] != accounted:
        raise CountMismatch(
            f"The run's rows do not add up: fetched {counts['fetched']}, but duplicates {counts['duplicates']} + "
            f"quarantined {counts['quarantined']} + eligible {counts['eligible']} + skipped {skipped} + closed "
            f"{counts['closed']} = {accounted}. Rows were lost or staged twice between the tasks. Clear fetch_pages "
            "with everything after it."
        )
    if counts["eligible"] != counts["with_domain"] + counts["without_domain"]:
        raise CountMismatch(
            f"The run's rows do not add up: eligible {counts['eligible']}, but with a domain {counts['with_domain']} + "
            f"without {counts['without_domain']}. Clear extract_domains with everything after it."
        )


def check_decided(counts: Mapping[str, Any]) -> None:
    """Check that the tasks before the load have run, in their order, since the rows were staged.

    Args:
        counts: of the load; `undecided`: staged rows without an outcome, or to be loaded and without the domain's
            verdict; `unfinished`: 1 where the latest reading broke off.

    Raises:
        CountMismatch: they have not, so the load would pass rows over and move the watermark past them.
    """
    if counts["undecided"] or counts["unfinished"]:
        raise CountMismatch(
            f"{counts['undecided']} staged rows have not come through filter_referrals and extract_domains, or "
            "fetch_pages broke off before it had read everything: a task ran again without what follows. Nothing was "
            "changed. Clear fetch_pages with everything after it."
        )


def check_staged(counts: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Check that what the tasks counted still stands in the run's staging, which everything else is compared with.

    Args:
        counts: what the tasks counted.
        found: what verify_counts.sql selects.

    Raises:
        CountMismatch: it does not.
    """
    counted = (counts["fetched"] - counts["quarantined"], counts["eligible"], counts["closed"])
    staged = (found["staged"], found["staged_eligible"], found["staged_closed"])
    if counted != staged:
        raise CountMismatch(
            f"The run's staging is not what its tasks counted: rows {staged[0]} of {counted[0]}, eligible {staged[1]} "
            f"of {counted[1]}, closed {staged[2]} of {counted[2]}. A task was run again without what follows, rows "
            "were lost on the way, or the staging is gone (kept for 7 days by default; lost when PostgreSQL crashes). "
            "Clear fetch_pages with everything after it."
        )


def check_persisted(counts: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Check that every referral of the run stands in the table, and that the load counted each once.

    Args:
        counts: what the tasks counted.
        found: what verify_counts.sql selects: persisted, missing and outdated, and the first ids of the latter two.

    Raises:
        CountMismatch: some do not; the message names how many and the first 20.
    """
    eligible = counts["eligible"]
    if found["missing"] or found["persisted"] != eligible:
        raise CountMismatch(
            f"{eligible - found['persisted']} of {eligible} eligible referrals do not stand in "
            "partner_center_referrals with this run's content, so sales does not see them. Missing: "
            f"{_named(found['missing_ids'], found['missing'])}. {_WHAT_TO_DO}"
        )
    if found["outdated"]:
        raise CountMismatch(
            f"{found['outdated']} referrals that are no longer eligible stand in partner_center_referrals with older "
            f"content, so sales sees them as open. Outdated: {_named(found['outdated_ids'], found['outdated'])}. "
            f"{_WHAT_TO_DO}"
        )
    written = counts["inserted"] + counts["updated"] + counts["unchanged"]
    if written != eligible + counts["closed"]:
        raise CountMismatch(
            f"The load's counts do not add up: inserted {counts['inserted']} + updated {counts['updated']} + unchanged "
            f"{counts['unchanged']} = {written}, but eligible {eligible} + closed {counts['closed']}. Clear "
            "load_referrals with what follows."
        )


def check_sweep(vanished: int, present: int, max_share: float) -> None:
    """Check that what a full read no longer found is plausible.

    Args:
        vanished: stored referrals that it did not find.
        present: stored referrals that it did.
        max_share: of the stored ones, so many may vanish between two full reads.

    Raises:
        ImplausibleSweep: more have vanished.
    """
    if vanished > max_share * (vanished + present):
        raise ImplausibleSweep(
            f"{vanished} of {vanished + present} stored referrals are gone from the API: more than a share of "
            f"{max_share:g}, so rather the read is wrong than the table. Nothing was changed. Usual causes: another "
            "user signed in (a Referrals User sees less than a Referrals Admin), or the connection leads to another "
            f"partner. If they are really gone, set the Variable {VANISHED_SHARE_VARIABLE} to 1, clear load_referrals "
            "with what follows, and delete the Variable again. Changes still come in by the incremental runs, where a "
            "run of these settings has been verified before."
        )


def check_marked(unmarked: int) -> None:
    """Check that the table says so of every referral that a full read no longer found.

    Args:
        unmarked: of these, how many the database did not let the load mark.

    Raises:
        CountMismatch: it does not.
    """
    if unmarked:
        raise CountMismatch(
            f"{unmarked} referrals that are gone from the API stand in partner_center_referrals without missing_since, "
            f"so sales sees them as there. {_WHAT_TO_DO}"
        )


def check_quarantine(counts: Mapping[str, Any], max_rows: float, max_share: float) -> None:
    """Check that only a few rows could not be stored.

    Args:
        counts: as `verify_counts` returns them.
        max_rows: so many are always accepted.
        max_share: so large a share of the fetched rows is always accepted.

    Raises:
        TooManyQuarantined: both were exceeded.
    """
    quarantined = counts["quarantined"]
    if quarantined > max_rows and quarantined > max_share * counts["fetched"]:
        raise TooManyQuarantined(
            f"{quarantined} of {counts['fetched']} rows could not be stored: more than {max_rows:g} rows and more than "
            f"a share of {max_share:g}. The other rows are stored. Look at reason and raw in partner_center_quarantine "
            "where run_id is this run's: the API may have changed. Once that is mended, trigger "
            "partner_center_replay_quarantine. To accept as many, raise the Variables "
            f"{QUARANTINE_ROWS_VARIABLE} and {QUARANTINE_SHARE_VARIABLE}."
        )


def _named(ids: list[str], count: int) -> str:
    return ", ".join(ids[:NAMED_IDS]) + (" and more" if count > NAMED_IDS else "")


def funnel(counts: Mapping[str, Any]) -> str:
    """Return the counts as one readable line."""
    skipped = ", ".join(f"{reason} {count}" for reason, count in sorted(counts["skipped"].items())) or "none"
    return (
        f"fetched {counts['fetched']} (duplicates {counts['duplicates']}, quarantined {counts['quarantined']}, "
        f"skipped: {skipped}, closed {counts['closed']}) > eligible {counts['eligible']} (with a domain "
        f"{counts['with_domain']}, without {counts['without_domain']}) > persisted {counts['persisted']} (inserted "
        f"{counts['inserted']}, updated {counts['updated']}, unchanged {counts['unchanged']})"
    )
