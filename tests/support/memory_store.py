"""Where a test keeps a token cache without Airflow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from partner_center.errors import VariableUnreadable


class MemoryStore:
    """A store of the token cache in memory, whose look-ups can fail; like Airflow's, it knows what must not be logged.

    Its lock is one for the process, and not to be taken twice, as the real one.
    """

    def __init__(self, text: str | None = None) -> None:
        self.text = text
        self.state: str | None = None
        self.failing = False
        self.writes: list[str] = []
        self.masked: set[str] = set()
        self._lock = threading.Lock()

    def read(self) -> str | None:
        if self.failing:
            raise VariableUnreadable("away")
        return self.text

    def write(self, text: str) -> None:
        self.writes.append(text)
        self.text = text

    def forget(self) -> None:
        self.text = self.state = None

    def mask(self, secret: str) -> None:
        assert secret
        self.masked.add(secret)

    def read_state(self) -> str | None:
        return self.state

    def write_state(self, text: str) -> None:
        self.state = text

    @contextmanager
    def alone(self, *, or_without: bool) -> Iterator[None]:  # noqa: ARG002 - the protocol's signature
        assert self._lock.acquire(timeout=10), "taken twice by one process"
        try:
            yield
        finally:
            self._lock.release()

    def secrets(self, section: str) -> list[str]:
        return [entry["secret"] for entry in json.loads(self.text or "{}").get(section, {}).values()]
