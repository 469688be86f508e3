"""The inbox: referrals by filter, search and order, page by page, or all of them as a stream.

Whatever is asked, the narrow indexes of partner_center_referrals answer (docs/adr/0011); of the wide rows, only those
are read that are shown.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

from psycopg.sql import SQL, Composable, Identifier

from partner_center.ui.cursors import Kind, Place
from partner_center.ui.reading import Reader, Row, part

MOST_WORDS = 5
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for; an empty one lets everything through.

    Attributes:
        status: without regard to case; ``open`` is new or active, and still in the API.
        referral_type: as it is stored.
        link_status: as it is stored.
        country: without regard to case.
        domain: ``yes`` or ``no``: whether there is one.
        expiring: open, and its time ends within seven days.
        q: words that all occur in customer, domain or name, without regard to case and accents; five at most.
    """

    status: str = ""
    referral_type: str = ""
    link_status: str = ""
    country: str = ""
    domain: Literal["yes", "no", ""] = ""
    expiring: bool = False
    q: str = ""

    def parameters(self) -> dict[str, Any]:
        """Return what the statements bind."""
        # The longest first: most referrals are passed over by it, and the others are not looked for.
        words = sorted(self.q.split()[:MOST_WORDS], key=len, reverse=True)
        words += [""] * (MOST_WORDS - len(words))
        return {**asdict(self), **{f"word_{number}": word for number, word in enumerate(words, 1)}}


@dataclass(frozen=True, slots=True)
class Sort:
    """An order: a column of the index, what its values are, and which way round it is read unless told otherwise."""

    column: str
    kind: Kind
    descending: bool


SORTS: Mapping[str, Sort] = MappingProxyType(
    {
        "updated": Sort("updated_at", "time", descending=True),
        "created": Sort("created_at", "time", descending=True),
        "expires": Sort("expires_at", "time", descending=False),
        "value": Sort("deal_value", "number", descending=True),
        "customer": Sort("search_text", "text", descending=False),
    }
)


_INDEXED = "updated_at"


@dataclass(frozen=True, slots=True)
class Listing:
    """A page: its rows, the cursor of what follows (None at the end), and how many referrals stand before it.

    `counted` is how many there are in all, where that was found by the way (as `count` tells it), else None.
    """

    rows: list[Row]
    next_cursor: str | None
    offset: int
    counted: int | None = None


def page(
    reader: Reader,
    filters: Filters,
    sort: str = "updated",
    descending: bool | None = None,
    limit: int = 50,
    after: str | None = None,
    offset: int = 0,
) -> Listing:
    """Read one page.

    Args:
        reader: of the account.
        filters: what is asked for.
        sort: one of `SORTS`. Referrals without a value come last, either way.
        descending: None takes the order's own way.
        limit: how many referrals at most.
        after: the cursor of the page before; it goes before `offset`.
        offset: how many referrals to pass over. A cursor skips and repeats none, whatever has come in between.

    Raises:
        ValueError: the cursor is none of this order.
    """
    asked = _Asked(reader, filters, SORTS[sort], descending)
    place = Place.parse(after, asked.order.kind) if after else None
    # One more than is shown tells whether there is more.
    rows = asked.beyond(place, limit + 1, 0 if place else offset)
    values, found = [row.pop("place") for row in rows], [row.pop("found") for row in rows]
    before = place.position if place else offset
    counted = (found[0] if found else 0) if place is None and offset == 0 and asked.counts_by_the_way else None
    if len(rows) <= limit:
        return Listing(rows, None, before, counted)
    following = Place(values[limit - 1], rows[limit - 1]["referral_id"], before + limit).text()
    return Listing(rows[:limit], following, before, counted)


def count(reader: Reader, filters: Filters, at_most: int = MOST_COUNTED) -> int:
    """Count what the filters let through; more than `at_most` are told as one more than that."""
    parameters = {**filters.parameters(), "at_most": at_most + 1}
    found = reader.row("inbox_count", parameters, matching=part("inbox_matching"))
    return int(found["found"]) if found else 0


def total(reader: Reader, filters: Filters, listing: Listing, after: str | None = None) -> int:
    """Return `count`, without counting where the page tells: it counted, or is the last one and no cursor led to it.

    What a cursor tells is how many there were when its page was shown.
    """
    if listing.counted is not None:
        return listing.counted
    if not after and listing.next_cursor is None and (listing.rows or listing.offset == 0):
        return min(listing.offset + len(listing.rows), MOST_COUNTED + 1)
    return count(reader, filters)


def export(
    reader: Reader, filters: Filters, sort: str = "updated", descending: bool | None = None
) -> Generator[Row, None, None]:
    """Yield all that the filters let through, in order, whatever its number."""
    asked = _Asked(reader, filters, SORTS[sort], descending)
    return reader.stream("inbox_export", filters.parameters(), **asked.parts("last"))


class _Asked:
    """A question to the inbox: what is asked for, and in which order."""

    def __init__(self, reader: Reader, filters: Filters, order: Sort, descending: bool | None) -> None:
        self.order = order
        self._reader = reader
        self._bound = filters.parameters()
        self._down = order.descending if descending is None else descending
        self._column = Identifier("matching", order.column)
        self._sign = SQL("<" if self._down else ">")

    def parts(self, nulls: Literal["first", "last"]) -> dict[str, Composable]:
        """Return the parts of the statements that tell the order."""
        way = SQL("desc" if self._down else "asc")
        order = SQL("{} nulls {}").format(way, SQL(nulls))
        return {"way": way, "order": order, "sort": Identifier(self.order.column), "matching": part("inbox_matching")}

    @property
    def counts_by_the_way(self) -> bool:
        """Whether the first page is read in the index's order, so that reading on counts what there is."""
        return self.order.column == _INDEXED and self._down

    def beyond(self, place: Place | None, limit: int, offset: int) -> list[Row]:
        """Return rows after a place, from the start where there is none: those with a value, then those without.

        By the index's own order, each of the two is a stretch of it; in one statement they would be neither. Any other
        order takes the whole index, so once for both.
        """
        if self.order.column != _INDEXED or (place is None and (self._down or offset)):
            first = place is None and offset == 0 and self.counts_by_the_way
            looked_at = MOST_COUNTED + 1 if first else limit
            return self._rows(self._all_after(place), "last", place, limit=limit, offset=offset, looked_at=looked_at)
        rows: list[Row] = []
        if place is None or place.value is not None:
            rows = self._rows(self._with_a_value_after(place), "last" if self._down else "first", place, limit=limit)
        if len(rows) < limit:
            beyond = self._without_a_value_after(place)
            rows += self._rows(beyond, "last" if self._down else "first", place, limit=limit - len(rows))
        return rows

    def _all_after(self, place: Place | None) -> Composable:
        if place is None:
            return SQL("true")
        if place.value is None:
            return self._without_a_value_after(place)
        return SQL("({} or {} is null)").format(self._with_a_value_after(place), self._column)

    def _with_a_value_after(self, place: Place | None) -> Composable:
        if place is None:
            return SQL("{} is not null").format(self._column)
        return SQL("({}, matching.referral_id) {} (%(value)s, %(id)s)").format(self._column, self._sign)

    def _without_a_value_after(self, place: Place | None) -> Composable:
        if place is None or place.value is not None:
            return SQL("{} is null").format(self._column)
        return SQL("{} is null and matching.referral_id {} %(id)s").format(self._column, self._sign)

    def _rows(
        self, beyond: Composable, nulls: Literal["first", "last"], place: Place | None = None, **window: int
    ) -> list[Row]:
        key = {"value": place.value, "id": place.referral_id} if place else {}
        bound = {**self._bound, "offset": 0, "looked_at": window["limit"], **window, **key}
        return self._reader.rows("inbox_page", bound, beyond=beyond, **self.parts(nulls))
