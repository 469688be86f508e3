"""Retry or fail: only what may pass by itself is tried again, after the time that the service asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from partner_center.errors import ApiUnavailable, PartnerCenterError

LONGEST_DELAY = 3600.0
"""Seconds between two tries of a task."""


class RetryWhatMayPass(RetryPolicy):
    """`ApiUnavailable` is retried (Retry-After obeyed), every other error of ours fails at once."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002
        context: Any = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Decide by the class of the error."""
        if isinstance(exception, ApiUnavailable):
            if exception.retry_after is None:
                return RetryDecision.default()
            # However long the service asks: a task that waits for days is one that nobody sees.
            delay = timedelta(seconds=min(exception.retry_after, LONGEST_DELAY) + 1)
            return RetryDecision.retry(delay=delay, reason="the service asked to wait")
        if isinstance(exception, PartnerCenterError):
            return RetryDecision.fail(reason=type(exception).__name__)
        return RetryDecision.default()
