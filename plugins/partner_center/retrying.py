"""One policy for calls that may be tried again: backoff with jitter, the service's Retry-After first."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import tenacity

from partner_center.errors import ApiUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 5
LONGEST_WAIT = 120.0
"""Seconds; a longer Retry-After is left to Airflow's own retry, so that no worker sleeps through it."""

_backoff = tenacity.wait_exponential_jitter(initial=1, max=30, jitter=1)
_attempts = contextvars.ContextVar("attempts", default=ATTEMPTS)


@contextlib.contextmanager
def once() -> Iterator[None]:
    """Make one attempt only in this context: a person who asks what is wrong is waiting for the answer."""
    before = _attempts.set(1)
    try:
        yield
    finally:
        _attempts.reset(before)


def retrying() -> tenacity.Retrying:
    """Return a fresh retry loop: up to 5 attempts on `ApiUnavailable`, then the last error is raised."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_worth_waiting),
        stop=tenacity.stop_after_attempt(_attempts.get()),
        wait=_wait,
        before_sleep=_tell,
        reraise=True,
    )


def retried(action: Callable[[], T]) -> T:
    """Return what the action returns, by `retrying`."""
    for attempt in retrying():
        with attempt:
            return action()
    raise AssertionError  # the loop above returns or raises


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, in either form of RFC 9110; None for anything else."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _worth_waiting(error: BaseException) -> bool:
    return isinstance(error, ApiUnavailable) and (error.retry_after or 0) <= LONGEST_WAIT


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ApiUnavailable) else None
    return max(asked or 0.0, 0.0) + 0.1 if asked is not None else _backoff(state)


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0
    log.warning("Attempt %d of %d: %s Next one in %.1f s.", state.attempt_number, ATTEMPTS, error, pause)
