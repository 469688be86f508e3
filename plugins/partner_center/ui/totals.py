"""What the overview counts: one pass over the narrow index, which gives few groups, added up here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from partner_center.ui.reading import Reader, Row

_OPEN = frozenset({"new", "active"})


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers of an account's referrals. A status is in small letters, and empty where it is none of the API's.

    Open is new or active, and still in the API: so `open`, `open_value`, `unanswered` and `several_candidates` leave
    out what is missing there. All other numbers count it as well, as the inbox shows it.

    Attributes:
        referrals: all of them.
        open: open ones.
        by_status_and_type: referrals by status and referral type.
        by_link_status: referrals by link status.
        open_value: the deal values of open ones by currency in capitals, empty where none is told; the largest first.
        without_domain: referrals without a domain.
        unanswered: open ones that are new, and whose time ends within seven days.
        several_candidates: open ones with several domains to choose from.
        missing: those that the API no longer has.
    """

    referrals: int
    open: int
    by_status_and_type: Mapping[tuple[str, str], int]
    by_link_status: Mapping[str, int]
    open_value: Mapping[str, Decimal]
    without_domain: int
    unanswered: int
    several_candidates: int
    missing: int


class _Group(NamedTuple):
    """Referrals that are alike; `facets` has what the trigger partner_center_fill_inbox wrote."""

    status: str
    referral_type: str
    link_status: str
    has_domain: bool
    is_missing: bool
    currency: str
    referrals: int
    expiring: int
    deal_value: Decimal | None

    @classmethod
    def of(cls, row: Row) -> _Group:
        facets, *numbers = row.values()
        status, referral_type, link_status, domain, place, *currency = facets.split("|", 5)
        told = (status, referral_type, link_status, domain == "domain", place == "missing", "".join(currency))
        return cls(*told, *numbers)

    @property
    def is_open(self) -> bool:
        return self.status in _OPEN and not self.is_missing


def totals(reader: Reader) -> Totals:
    """Ask for the numbers, which takes a third of a second at a million referrals."""
    groups = [_Group.of(row) for row in reader.rows("totals")]
    opened = [group for group in groups if group.is_open]
    by_status_and_type: Counter[tuple[str, str]] = Counter()
    by_link_status: Counter[str] = Counter()
    for group in groups:
        by_status_and_type[group.status, group.referral_type] += group.referrals
        by_link_status[group.link_status] += group.referrals
    return Totals(
        referrals=_count(groups),
        open=_count(opened),
        by_status_and_type=by_status_and_type,
        by_link_status=by_link_status,
        open_value=_values(opened),
        without_domain=_count(group for group in groups if not group.has_domain),
        unanswered=sum(group.expiring for group in opened if group.status == "new"),
        several_candidates=_count(group for group in opened if group.link_status == "multi_candidate"),
        missing=_count(group for group in groups if group.is_missing),
    )


def _count(groups: Iterable[_Group]) -> int:
    return sum(group.referrals for group in groups)


def _values(opened: Iterable[_Group]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for group in opened:
        if group.deal_value is not None:
            currency = group.currency.upper()
            found[currency] = found.get(currency, Decimal()) + group.deal_value
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))
