"""Reads the referrals listing: one request at a time, next link by next link, safely."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import requests

from partner_center.answers import needs_mfa, raise_for, request_ids, tls_error
from partner_center.auth import TokenSource
from partner_center.errors import (
    AccessDenied,
    ApiUnavailable,
    ConfigurationError,
    PageLimitReached,
    RequestRefused,
    SignInRequired,
    UnsafeNextLink,
)
from partner_center.listing import Descent, Listing, one
from partner_center.pages import GarbledPage, PageBody, split_page
from partner_center.retrying import retried
from partner_center.settings import COLLECTION_PATH, Settings
from partner_center.transport import verbatim

log = logging.getLogger(__name__)

MOST_EMPTY_PAGES = 1_000
"""Pages in a row without a row; more of them are a listing that never ends."""

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, seconds between two pieces of an answer."""

MOST_FAILURES = 50
"""So many refused requests are remembered by their ids."""

# Everything printable stays as it is, also what is percent-encoded already.
_URL_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its number from 1, the raw JSON text of each row, and for the log its size, time and request ids."""

    number: int
    rows: list[bytes]
    answer: str


class _ExpiredNextLink(RequestRefused):
    """The service no longer knows where a listing stood."""


class ReferralClient:
    """Reads referrals over one session, whose auth puts the token on each request.

    Args:
        session: a session as `PartnerCenterHook.get_conn` makes it.
        tokens: asked for a fresh token when the API refuses the cached one.
        settings: the account.
    """

    def __init__(self, session: requests.Session, tokens: TokenSource, settings: Settings) -> None:
        self._session = session
        self._tokens = tokens
        self._settings = settings
        self._home = urlsplit(settings.collection_url)
        self._last_answer = ""
        self.failures: list[dict[str, str]] = []
        """The first requests that got no page: status (or what went wrong) and request ids."""

    def pages(self, listing: Listing, max_pages: int | None = None) -> Iterator[Page]:
        """Yield every page of a listing, the first with $filter, $orderby and $top.

        Args:
            listing: what to ask for.
            max_pages: give up after so many.

        Raises:
            PageLimitReached: there was more after `max_pages`.
            UnsafeNextLink: a next link to another host, one that repeats, or page after page without a row.
            RequestRefused: with status 400, also where the API accepts none of the listing's filters.
            SignInRequired, AccessDenied, ApiUnavailable: as the names say.
        """
        number = empty = 0
        restarted = False
        bodies = self._bodies(listing)
        while True:
            try:
                body = next(bodies, None)
            except _ExpiredNextLink:
                if restarted:
                    raise
                log.warning("The service forgot where the listing stood; reading it once more from its first page.")
                restarted = True
                bodies = self._bodies(listing)
                continue
            if body is None:
                return
            number += 1
            empty = 0 if body.rows else empty + 1
            if empty > MOST_EMPTY_PAGES:
                raise UnsafeNextLink(_ENDLESS)
            yield Page(number, body.rows, self._last_answer)
            if max_pages is not None and number >= max_pages and body.next_link:
                raise PageLimitReached(_page_limit(max_pages))

    def probe(self) -> int:
        """Read one row; return how many came (0 or 1). Raises as `pages`."""
        return len(self._first(one()).rows)

    def _bodies(self, listing: Listing) -> Iterator[PageBody]:
        body = self._first(listing)
        descent = Descent(listing.until) if listing.until else None
        seen: set[str] = set()
        while True:
            link = self.safe_link(body.next_link)
            ends_here = link is None or (descent is not None and descent.is_below(body.rows))
            yield PageBody(body.rows, None) if ends_here else body
            if link is None or ends_here:
                return
            if descent is not None and not descent.is_kept:
                log.warning("The API does not keep the order that was asked for: everything is read.")
                descent = None
            if link in seen:
                raise UnsafeNextLink(_REPEATED)
            seen.add(link)
            body = self._get(link, first=False)

    def _first(self, listing: Listing) -> PageBody:
        """Ask for the first page, with one filter after the other."""
        *filters, last = listing.filters
        for condition in filters:
            try:
                body = self._get(self._first_url(condition, listing), first=True)
            except RequestRefused as err:
                if err.status != 400:
                    raise
                log.info("The API refused the filter %r; asking with the next one.", condition)
                continue
            if body.rows or body.next_link or condition != filters[0]:
                return body
            log.info("No row for the filter %r; asking with the next one.", condition)
        return self._get(self._first_url(last, listing), first=True)

    def _first_url(self, condition: str | None, listing: Listing) -> str:
        options = {"$filter": condition, "$orderby": listing.order, "$top": str(listing.top)}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items() if value)
        return f"{self._settings.collection_url}?{query}"

    def safe_link(self, link: object) -> str | None:
        """Return the next link as an https address on the configured host, or None at the end.

        Its query stays as it is, byte for byte; an ``http://`` or relative link is turned into https on the host.

        Raises:
            UnsafeNextLink: it leads elsewhere.
        """
        if link is None or link == "":
            return None
        if not isinstance(link, str):
            raise UnsafeNextLink("The API sent a next link that is no text. Report it with the request ids.")
        try:
            parts = urlsplit(quote(link, safe=_URL_CHARACTERS))
        except ValueError as err:
            raise UnsafeNextLink(
                "The API sent a next link that is no address. Report it with the request ids."
            ) from err
        if not self._is_home(parts):
            raise UnsafeNextLink(
                f"The API sent a next link to another host ({parts.hostname!r}). It was not followed: the access token "
                f"stays with {self._home.hostname}. If that host is right, set it in the connection."
            )
        path = parts.path or self._home.path
        if not path.startswith("/"):
            path = f"{self._home.path.rsplit('/', 1)[0]}/{path}"
        return urlunsplit(("https", self._home.netloc, path, parts.query, ""))

    def _is_home(self, parts: SplitResult) -> bool:
        if parts.scheme not in {"", "http", "https"}:
            return False
        if not parts.netloc:
            return True
        try:
            port = parts.port
        except ValueError:
            return False
        usual = {None, self._home.port} if self._home.port else {None, 80, 443}
        return parts.hostname == self._home.hostname and port in usual

    def _get(self, url: str, *, first: bool) -> PageBody:
        try:
            return retried(lambda: self._authorized(url))
        except RequestRefused as err:
            if first:
                raise
            if err.status == 404 and f"/{COLLECTION_PATH}" not in urlsplit(url).path:
                # The documented sample of a next link lacks /engagements, and that path does not exist.
                at_home = urlsplit(url)._replace(path=self._home.path).geturl()
                return retried(lambda: self._authorized(at_home))
            if err.status in {400, 410}:
                raise _ExpiredNextLink(err.status, str(err)) from err
            raise

    def _authorized(self, url: str) -> PageBody:
        response = self._send(url)
        if response.status_code == 401 and not needs_mfa(response):
            log.info("The API refused the access token (HTTP 401); renewing it once.")
            self._tokens.renew()
            response = self._send(url)
        try:
            raise_for(response)
        except (SignInRequired, AccessDenied) as err:
            self._tokens.keep_claims(err.claims)
            if err.reason == "token_rejected":
                raise self._tokens.explained(err) from err
            raise
        try:
            return split_page(response.content)
        except GarbledPage as err:
            raise ApiUnavailable(
                f"The API answered with something that is not a page of referrals ({err}; {request_ids(response)}). "
                "It is tried again by itself; if it lasts, report the request id to Microsoft."
            ) from err

    def _send(self, url: str) -> requests.Response:
        # The session's auth asks for a token here, before the clock starts.
        headers = {"client-request-id": str(uuid.uuid4())}
        request = verbatim(self._session.prepare_request(requests.Request("GET", url, headers=headers)), url)
        settings = self._session.merge_environment_settings(url, {}, None, self._session.verify, None)
        started = time.monotonic()
        try:
            response = self._session.send(request, timeout=TIMEOUT, allow_redirects=False, **settings)
        except requests.exceptions.SSLError as err:
            self._failed(type(err).__name__, f"client-request-id {headers['client-request-id']}")
            raise tls_error(err) from err
        except requests.RequestException as err:
            self._failed(type(err).__name__, f"client-request-id {headers['client-request-id']}")
            raise ApiUnavailable(
                f"The Partner Center API at {self._home.netloc} could not be reached ({type(err).__name__}; "
                f"client-request-id {headers['client-request-id']}). It is tried again by itself; if it lasts, check "
                "the network, the proxy and the connection's host."
            ) from err
        except OSError as err:
            raise ConfigurationError(
                "The CA bundle could not be read, so nothing was sent. Check the path in verify of the connection."
            ) from err
        seconds = time.monotonic() - started
        self._last_answer = f"{len(response.content)} bytes in {seconds:.2f} s, {request_ids(response)}"
        if response.status_code != 200:
            self._failed(str(response.status_code), request_ids(response))
            log.warning("GET %s: HTTP %d (%s).", urlsplit(url).path, response.status_code, self._last_answer)
        return response

    def _failed(self, what: str, ids: str) -> None:
        if len(self.failures) < MOST_FAILURES:
            self.failures.append({"answer": what, "ids": ids})


_REPEATED = (
    "The API sent the same next link twice, so the listing would never end. Nothing was loaded; the next run reads it "
    "anew. If it repeats, report it to Microsoft with the request ids of the pages."
)
_ENDLESS = (
    f"The API sent more than {MOST_EMPTY_PAGES} pages in a row without a referral, each with a next link, so the "
    "listing would never end. Nothing was loaded; the next run reads it anew. If it repeats, report it to Microsoft "
    "with the request ids of the pages."
)


def _page_limit(max_pages: int) -> str:
    return (
        f"max_pages={max_pages} was reached and the API has more. The run fails so that nothing is cut in silence, and "
        "nothing was loaded. Start it again with a larger max_pages, or with none."
    )
