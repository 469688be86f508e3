"""What the API is asked for: the options of a listing's first page, and where a listing of changes may end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from partner_center.referral import moment

LARGEST_PAGE = 200
"""Rows asked for on a page ($top); the service may send fewer and still have more."""

PAGE_OF_CHANGES = 100
"""The documented size of a page: where the end is found by reading, a smaller page reads less beyond it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing of referrals.

    Attributes:
        filters: each a $filter (None: without), asked in this order until the API accepts one and sends rows for it.
        order: $orderby.
        top: $top, rows a page.
        until: end at the first page whose last row was updated earlier; the order is then updatedDateTime desc.
    """

    filters: tuple[str | None, ...]
    order: str
    top: int
    until: datetime | None = None


def everything(direction: str) -> Listing:
    """List all referrals of a direction (``Incoming``, ``Outgoing`` or ``any``), the most lenient filter first.

    ``ne`` also lets rows pass whose direction is missing or spelled otherwise, which the API's own case-sensitive
    ``eq`` would hide from us; only ``eq`` is documented, so it is the fallback. A service that refuses that too is
    asked for everything: filter_referrals decides by itself.

    The order is stable while rows are updated: an updated referral keeps its place, a new one comes last.
    """
    return Listing(_of_direction(direction), "createdDateTime asc", LARGEST_PAGE)


def one() -> Listing:
    """List one referral, as every first page is asked for: the question whether this account may read any."""
    return Listing(("direction eq 'Incoming'",), "createdDateTime desc", 1)


def changes_by_filter(since: datetime) -> Listing:
    """List what was updated at or after `since`, of every direction."""
    return Listing((f"updatedDateTime ge {_literal(since)}",), "createdDateTime asc", LARGEST_PAGE)


def changes_by_order(since: datetime, direction: str) -> Listing:
    """List the newest first, and end where the rows are older than `since`."""
    return Listing(_of_direction(direction), "updatedDateTime desc", PAGE_OF_CHANGES, since)


def _of_direction(direction: str) -> tuple[str | None, ...]:
    opposite = {"incoming": "Outgoing", "outgoing": "Incoming"}.get(direction.lower())
    if opposite is None:
        return (None,)
    return f"direction ne '{opposite}'", f"direction eq '{direction.capitalize()}'", None


def _literal(time: datetime) -> str:
    """Write a time as OData v4 does: unquoted; cut to the second, which asks for a little more."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class _Updated(msgspec.Struct):
    at: Any = msgspec.field(default=None, name="updatedDateTime")


_decode = msgspec.json.Decoder(_Updated).decode


class Descent:
    """Watches a listing that should come newest first, and says when the rest of it must be older than a time.

    Only an order that was kept on every page proves that. A service that does not keep it is read to its end.
    """

    def __init__(self, until: datetime) -> None:
        self._until = until
        self._last: datetime | None = None
        self.is_kept = True

    def is_below(self, rows: Iterable[bytes]) -> bool:
        """Take the next page's rows; say whether every row after them was updated before the time."""
        for time in map(_updated_at, rows):
            if time is None:
                continue
            if self._last is not None and time > self._last:
                self.is_kept = False
            self._last = time
        return self.is_kept and self._last is not None and self._last < self._until


def _updated_at(row: bytes) -> datetime | None:
    try:
        return moment(_decode(row).at)
    except (msgspec.MsgspecError, RecursionError):
        return None  # a row for the quarantine has no place in the order
