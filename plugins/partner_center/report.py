"""The accounts of a run: every row that the API sent stands in exactly one count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partner_center.errors import CountMismatch

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
            "were lost on the way, or the staging is gone (kept for 7 days; lost when PostgreSQL crashes). Clear "
            "fetch_pages with everything after it."
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
