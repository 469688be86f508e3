"""The request log, and the rules that a good client keeps, checked on every request."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from simulator.state import Clock, State

API = "/v1.0/"
LOG_LIMIT = 20_000
KEPT_HEADERS = frozenset(
    [
        "accept",
        "accept-encoding",
        "client-request-id",
        "content-type",
        "host",
        "if-match",
        "ms-correlationid",
        "prefer",
        "user-agent",
        "x-client-sku",
        "x-client-ver",
        "x-client-current-telemetry",
        "x-ms-lib-capability",
    ]
)
# The tolerance for clients that measure Retry-After with another clock than ours.
EARLY = 0.05
FRESH = 300


@dataclass
class Exchange:
    """One request and what became of it; never holds a token."""

    number: int
    time: float
    method: str
    path: str
    query: str
    headers: dict[str, str]
    bearer: bool
    concurrency: int
    request_id: str
    client_request_id: str | None = None
    status: int | None = None
    page: int | None = None
    grant: str | None = None
    claims: str | None = None
    fault: str | None = None


@dataclass
class Journal:
    """The exchanges so far and the violations found in them."""

    clock: Clock
    exchanges: deque[Exchange] = field(default_factory=lambda: deque(maxlen=LOG_LIMIT))
    violations: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    in_flight: int = 0
    _ids: set[str] = field(default_factory=set)
    _not_before: float | None = None
    _unspent_401: bool = False
    _spent_401: bool = False

    def violation(self, rule: str, text: str, exchange: Exchange | None = None) -> None:
        """Record that the client broke a rule."""
        number = exchange.number if exchange else None
        self.violations.append({"rule": rule, "text": text, "request": number, "time": self.clock.now()})

    def requests(self) -> list[dict[str, Any]]:
        """Give the log as JSON objects."""
        return [asdict(exchange) for exchange in self.exchanges]

    def clear(self) -> None:
        """Forget the log; the violations stay."""
        self.exchanges.clear()

    def arrive(self, scope: Scope) -> Exchange:
        """Open the log's line for a request and check what can be checked by now."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        api = scope["path"].startswith(API)
        self.total += 1
        self.in_flight += api
        exchange = Exchange(
            number=self.total,
            time=self.clock.now(),
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers={name: value for name, value in headers.items() if name in KEPT_HEADERS},
            bearer=headers.get("authorization", "").lower().startswith("bearer "),
            concurrency=self.in_flight if api else 0,
            request_id=str(uuid.uuid4()),
            client_request_id=headers.get("client-request-id"),
        )
        self.exchanges.append(exchange)
        if api:
            self._check(exchange)
        return exchange

    def _check(self, exchange: Exchange) -> None:
        name = exchange.client_request_id
        if not name:
            self.violation("client_request_id", "The header client-request-id is missing.", exchange)
        elif name in self._ids:
            self.violation("client_request_id", f"client-request-id {name} was used before.", exchange)
        else:
            self._ids.add(name)
        if exchange.concurrency > 1:
            self.violation("parallel", f"{exchange.concurrency} requests were under way at once.", exchange)
        if self._not_before is not None and exchange.time < self._not_before - EARLY:
            early = self._not_before - exchange.time
            self.violation("retry_after", f"The request came {early:.2f} s before Retry-After was over.", exchange)

    def leave(self, exchange: Exchange, headers: MutableMapping[str, str]) -> None:
        """Close the log's line and remember what the client has to obey next."""
        if not exchange.path.startswith(API):
            return
        self.in_flight -= 1
        if exchange.status == 401:
            self._unspent_401, self._spent_401 = True, False
        self._not_before = None
        if "retry-after" in headers and exchange.status != 200:
            self._not_before = _deadline(headers["retry-after"], self.clock.now())

    def refreshed(self, exchange: Exchange, expires_at: float | None, refresh_at: float | None) -> None:
        """Check a refresh, given when the newest access token expires and may be renewed ahead of time."""
        if self._unspent_401:
            self._unspent_401, self._spent_401 = False, True
            return
        now = self.clock.now()
        if expires_at is None or expires_at - now <= FRESH or (refresh_at is not None and now >= refresh_at):
            return
        if self._spent_401:
            self.violation("refresh_per_401", "The token was refreshed more than once for one 401.", exchange)
        else:
            left = int(expires_at - now)
            self.violation("needless_refresh", f"A refresh while the token is good for {left} s.", exchange)


def _deadline(retry_after: str, now: float) -> float | None:
    if retry_after.isdigit():
        return now + int(retry_after)
    try:
        return parsedate_to_datetime(retry_after).timestamp()
    except ValueError:
        # A fault may send nonsense on purpose: nothing is to be obeyed then.
        return None


class Recorder:
    """Middleware: a log line for each request, and the API's own response headers."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith("/_sim/"):
            await self.app(scope, receive, send)
            return
        # A reset in the meantime puts a new journal in place: the line is closed where it was opened.
        journal = self.state.journal
        with self.state.lock:
            exchange = journal.arrive(scope)
        scope["simulator.exchange"] = exchange
        answered: dict[str, str] = {}

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], *self._headers(exchange)]
                answered.update((name.decode(), value.decode("latin-1")) for name, value in message["headers"])
            await send(message)

        try:
            await self.app(scope, receive, record)
        finally:
            with self.state.lock:
                journal.leave(exchange, answered)

    def _headers(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        headers = {"request-id": exchange.request_id, "timestamp": self.state.clock.text()}
        if exchange.path.startswith(API):
            headers["x-ms-ags-diagnostic"] = '{"ServerInfo":{"DataCenter":"Simulator"}}'
        if exchange.client_request_id:
            headers["client-request-id"] = exchange.client_request_id
        return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
