"""What the routes and the control act on, behind one lock."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from simulator import data
from simulator.faults import Faults
from simulator.paging import Listings
from simulator.recorder import Journal
from simulator.settings import Settings
from simulator.store import Row, Store
from simulator.tokens import Tokens
from simulator.values import instant

AUDIENCE = "https://api.partner.microsoft.com"


class Clock:
    """The real time, plus what somebody advanced it by."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Give the simulated time in seconds since 1970."""
        return time.time() + self.offset

    def text(self) -> str:
        """Give the simulated time as the API writes it."""
        return f"{datetime.fromtimestamp(self.now(), UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


class State:
    """The whole simulator but its sockets."""

    def __init__(self, *, dataset: str, page_size: int, tenant: str, client_id: str, authority: str) -> None:
        self.lock = threading.RLock()
        self.tenant = tenant
        self.client_id = client_id
        self.authority = authority
        self.audience = AUDIENCE
        self.page_size = page_size
        self.clock = Clock()
        self.reset(dataset)

    def reset(self, dataset: str) -> None:
        """Start over: data, settings, tokens, faults, log and clock."""
        rows = data.load(dataset)
        with self.lock:
            self.dataset = dataset
            self.clock.offset = 0.0
            self.settings = Settings(page_size=self.page_size)
            self.store = Store()
            self.store.replace_all(rows)
            self.journal = Journal(self.clock)
            self.faults = Faults()
            self.tokens = Tokens(self)
            self.listings = Listings(self)
            self.mfa_asked = 0
            self._changes = 0

    def save(self, referral: dict[str, Any], previous: dict[str, Any] | None) -> dict[str, Any]:
        """Store a changed referral under a new eTag and a time that is later than the previous one."""
        self._changes += 1
        now = self.clock.text()
        before = instant((previous or {}).get("updatedDateTime"))
        if before is not None and before >= (instant(now) or ""):
            now = _next_tick(before)
        tag = f'"{self._changes:08x}-0000-0000-0000-{uuid.uuid4().hex[:12]}"'
        saved = referral | {"updatedDateTime": now, "eTag": tag}
        self.store.put(Row.of(saved))
        return saved


def _next_tick(text: str) -> str:
    """Give the time of 100 ns later; the last tick of a second stays, which no data of ours reaches."""
    head, fraction = text.split(".")
    return f"{head}.{min(int(fraction) + 1, 9_999_999):07d}Z"
