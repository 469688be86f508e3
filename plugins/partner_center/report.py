"""The accounts of a run: every row that the API sent stands in exactly one count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partner_center.errors import CountMismatch

NAMED_IDS = 20
"""So many missing ids are named in the error."""


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


def check_persisted(eligible: int, persisted: int, missing: int, missing_ids: list[str]) -> None:
    """Check that every eligible referral stands in the table.

    Raises:
        CountMismatch: some do not; the message names how many and the first 20.
    """
    if persisted == eligible and not missing:
        return
    named = ", ".join(missing_ids[:NAMED_IDS])
    raise CountMismatch(
        f"{eligible - persisted} of {eligible} eligible referrals do not stand in partner_center_referrals with this "
        f"run's content, so sales does not see them. Missing: {named or 'their staged rows are gone, too'}"
        f"{' and more' if missing > NAMED_IDS else ''}. Look for a trigger, rule or row-level policy on the table, "
        "then clear load_referrals with what follows, or wait for the next full run."
    )


def funnel(counts: Mapping[str, Any]) -> str:
    """Return the counts as one readable line."""
    skipped = ", ".join(f"{reason} {count}" for reason, count in sorted(counts["skipped"].items())) or "none"
    return (
        f"fetched {counts['fetched']} (duplicates {counts['duplicates']}, quarantined {counts['quarantined']}, "
        f"skipped: {skipped}, closed {counts['closed']}) > eligible {counts['eligible']} (with a domain "
        f"{counts['with_domain']}, without {counts['without_domain']}) > persisted {counts['persisted']} (inserted "
        f"{counts['inserted']}, updated {counts['updated']}, unchanged {counts['unchanged']})"
    )
