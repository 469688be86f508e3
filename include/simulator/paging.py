"""Listings: the first page's query, the snapshot behind a skiptoken, the next links in all forms."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from simulator.errors import ApiError, refuse_request
from simulator.odata import Filter, parse_filter, parse_orderby, parse_select
from simulator.store import Row, dumps, partial_reader
from simulator.values import instant

if TYPE_CHECKING:
    from simulator.recorder import Exchange
    from simulator.state import State

COLLECTION = "/v1.0/engagements/referrals"
OPTIONS = frozenset({"$filter", "$orderby", "$top", "$skip", "$count", "$select"})
# A listing that nobody follows any more is forgotten once this many newer ones have begun.
KEPT_LISTINGS = 64
ESCAPE = re.compile(rb"%[0-9a-fA-F]{2}")


@dataclass(frozen=True)
class Query:
    """The options of a first request."""

    filter: Filter | None
    order: list[tuple[str, bool]]
    top: int | None
    skip: int
    count: bool
    select: list[str] | None
    key: str


@dataclass
class Listing:
    """One listing under way; `expired` is the status that its links are refused with."""

    query: Query
    rows: list[Row]
    size: int
    mode: str
    host: str
    links: dict[bytes, Link]
    number: int
    expired: int | None = None


@dataclass(frozen=True)
class Link:
    """A next link that was given out."""

    listing: Listing
    start: int
    page: int
    query: bytes


class Listings:
    """All listings under way, and the links into them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._listings: OrderedDict[int, Listing] = OrderedDict()
        self._links: dict[bytes, Link] = {}
        self._begun = 0
        self._secret = secrets.token_hex(8)
        self._results: tuple[tuple[int, str], list[Row]] | None = None

    def page_number(self, raw: bytes) -> int | None:
        """Say which page a query string asks for, if it can be told."""
        if b"skiptoken" not in raw:
            return 1
        link = self._links.get(_canonical(raw))
        return link.page if link else None

    def expire(self, raw: bytes, status: int) -> None:
        """Make all links of the listing that this one belongs to refuse from now on."""
        link = self._links.get(_canonical(raw))
        if link is not None:
            link.listing.expired = status

    def first(self, raw: bytes, host: str) -> bytes:
        """Answer a first request."""
        query = parse_query(raw, self._state.settings.updated_filter)
        settings = self._state.settings
        size = min(query.top if query.top is not None else settings.page_size, settings.max_page_size)
        if settings.paging == "short-page":
            size = max(1, size // 2)
        self._begun += 1
        listing = Listing(query, self._matches(query), size, settings.paging, host, {}, self._begun)
        self._listings[self._begun] = listing
        if len(self._listings) > KEPT_LISTINGS:
            _, old = self._listings.popitem(last=False)
            for known in old.links:
                del self._links[known]
        return self._page(listing, query.skip, 1, None)

    def follow(self, raw: bytes, exchange: Exchange) -> bytes:
        """Answer a request for a next link.

        Raises:
            ApiError: the query string is not, byte for byte, one that was given out.
        """
        link, journal = self._links.get(_canonical(raw)), self._state.journal
        if exchange.bearer and link is not None and exchange.headers.get("host") != link.listing.host:
            journal.violation("foreign_host", f"A token came to {exchange.headers.get('host')}.", exchange)
        exact = self._state.settings.skiptoken_match == "exact"
        if link is None or (exact and raw != link.query):
            known = link is not None or self._resembles(raw)
            text = "The next link was changed." if known else "The skiptoken is unknown."
            journal.violation("next_link", text, exchange)
            refuse_request(text, "$skiptoken")
        if link.listing.expired is not None:
            code = "gone" if link.listing.expired == 410 else "invalidRequest"
            raise ApiError(link.listing.expired, code, "The skiptoken has expired.", target="$skiptoken")
        if link.listing.mode == "page-mutation":
            if link.page == 2:
                self._mutate(link.listing)
            link.listing.rows = self._matches(link.listing.query)
        return self._page(link.listing, link.start, link.page, link)

    def _matches(self, query: Query) -> list[Row]:
        """Evaluate a query once per state of the data: a benchmark repeats it over many rows."""
        store = self._state.store
        if self._results is None or self._results[0] != (store.version, query.key):
            self._results = (store.version, query.key), evaluate(query, store.rows)
        return self._results[1]

    def _page(self, listing: Listing, start: int, page: int, arrived_by: Link | None) -> bytes:
        empty = listing.mode == "empty-page" and page % 2 == 0
        end = start if empty else start + listing.size
        rows = listing.rows[start:end]
        select = listing.query.select
        texts = [row.text for row in rows] if select is None else [_project(row, select) for row in rows]
        base = f"https://{listing.host}"
        count = len(listing.rows) if listing.query.count else len(rows)
        link = b""
        if end < len(listing.rows):
            looping = listing.mode == "loop" and arrived_by is not None
            query = arrived_by.query if looping and arrived_by else self._register(listing, end, page + 1)
            link = b',"@odata.nextLink":"' + _next_link(listing, query) + b'"'
        head = f'{{"@odata.context":"{base}/v1.0/$metadata#Referrals","@odata.count":{count},"value":['
        return b"".join((head.encode(), b",".join(texts), b"]", link, b"}"))

    def _register(self, listing: Listing, start: int, page: int) -> bytes:
        query = b"$skiptoken=" + _token(self._secret, listing.number, page)
        link = Link(listing, start, page, query)
        self._links[_canonical(query)] = listing.links[_canonical(query)] = link
        return query

    def _resembles(self, raw: bytes) -> bool:
        """Say whether a link that was given out has the same token, differently written or with company."""
        given = dict(_pairs(raw)).get("$skiptoken", "").replace(" ", "+")
        return any(dict(_pairs(link.query))["$skiptoken"] == given for link in self._links.values())

    def _mutate(self, listing: Listing) -> None:
        """Update the row whose move harms an offset most: it shifts others across the boundary of page 1."""
        descending = not listing.query.order or listing.query.order[0][1]
        position = listing.query.skip + (listing.size if descending else 0)
        value = listing.rows[position].value() if position < len(listing.rows) else None
        if isinstance(value, dict):
            self._state.save(value, value)


def parse_query(raw: bytes, updated_filter: bool) -> Query:
    """Read the options of a first request."""
    options: dict[str, str] = {}
    for name, value in _pairs(raw):
        if name.startswith("$"):
            if name not in OPTIONS or name in options:
                problem = f"The query option {name} is unknown or given twice."
                refuse_request(problem, name)
            options[name] = value
    condition = parse_filter(options["$filter"]) if "$filter" in options else None
    if condition and not updated_filter and "updatedDateTime" in condition.roots:
        refuse_request("updatedDateTime cannot be filtered.", "$filter")
    if options.get("$count", "false") not in ("true", "false"):
        refuse_request("$count is true or false.", "$count")
    top = _integer(options, "$top", 1)
    return Query(
        filter=condition,
        order=parse_orderby(options["$orderby"]) if "$orderby" in options else [],
        top=top,
        skip=_integer(options, "$skip", 0) or 0,
        count=options.get("$count") == "true",
        select=parse_select(options["$select"]) if "$select" in options else None,
        key=repr((options.get("$filter"), options.get("$orderby"))),
    )


def evaluate(query: Query, rows: list[Row]) -> list[Row]:
    """Filter and sort; equal times stay in the order of the data."""
    if query.filter is None and not query.order:
        return list(rows)
    accepts = query.filter.accepts if query.filter else lambda _row: True
    read = partial_reader({*(query.filter.roots if query.filter else ()), *(name for name, _ in query.order)})
    found = [(row, head) for row in rows if accepts(head := read(row))]
    for name, descending in reversed(query.order):
        found.sort(key=lambda pair: instant(pair[1].get(name)) or "", reverse=descending)
    return [row for row, _ in found]


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    return parse_qsl(raw.decode("latin-1"), keep_blank_values=True)


def _integer(options: dict[str, str], name: str, least: int) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
        problem = f"{name} is a number of at least {least}."
        refuse_request(problem, name)
    return int(text)


def _canonical(raw: bytes) -> bytes:
    return ESCAPE.sub(lambda found: found.group().lower(), raw)


def _token(*seed: object) -> bytes:
    """Make an opaque token that holds +, / and =, which travel percent-encoded, in lower-case hex."""
    salt, token = 0, b""
    while b"+" not in token or b"/" not in token:
        digest = hashlib.sha256(repr((seed, salt)).encode()).digest()
        salt, token = salt + 1, base64.b64encode(digest[:25])
    return token.replace(b"+", b"%2b").replace(b"/", b"%2f").replace(b"=", b"%3d")


def _next_link(listing: Listing, query: bytes) -> bytes:
    host = listing.host
    name, _, port = host.partition(":")
    other = ("127.0.0.1" if name == "localhost" else "localhost") + (f":{port}" if port else "")
    prefix = {
        "http-noengagements": f"http://{host}/v1.0/referrals",
        "relative": COLLECTION,
        "foreign-host": f"https://{other}{COLLECTION}",
    }.get(listing.mode, f"https://{host}{COLLECTION}")
    return prefix.encode() + b"?" + query


def _project(row: Row, names: list[str]) -> bytes:
    value: Any = row.value()
    if not isinstance(value, dict):
        return row.text
    return dumps({name: value[name] for name in names if name in value}).encode()
