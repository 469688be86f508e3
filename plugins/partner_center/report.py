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


def check_persisted(eligible: int, found: Mapping[str, Any]) -> None:
    """Check that every referral of the run stands in the table.

    Args:
        eligible: how many filter_referrals decided to be eligible.
        found: what verify_counts.sql selects: persisted, missing and outdated, and the first ids of the latter two.

    Raises:
        CountMismatch: some do not; the message names how many and the first 20.
    """
    if found["missing"]:
        raise CountMismatch(
            f"{found['missing']} of {eligible} eligible referrals do not stand in partner_center_referrals with this "
            f"run's content, so sales does not see them. Missing: {_named(found['missing_ids'], found['missing'])}. "
            f"{_WHAT_TO_DO}"
        )
    if found["persisted"] != eligible:
        raise CountMismatch(
            f"{eligible} referrals were eligible, but {found['persisted']} of that kind are staged now: fetch_pages or "
            "filter_referrals was run again without what follows, or the staging is gone (kept for 7 days; lost when "
            "PostgreSQL crashes). Clear fetch_pages with everything after it."
        )
    if found["outdated"]:
        raise CountMismatch(
            f"{found['outdated']} referrals that are no longer eligible stand in partner_center_referrals with older "
            f"content, so sales sees them as open. Outdated: {_named(found['outdated_ids'], found['outdated'])}. "
            f"{_WHAT_TO_DO}"
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
