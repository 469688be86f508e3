"""Retry or fail: only what may pass by itself is tried again, after the time that the service asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from partner_center.errors import ApiUnavailable, PartnerCenterError


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
            delay = timedelta(seconds=exception.retry_after + 1)
            return RetryDecision.retry(delay=delay, reason="the service asked to wait")
        if isinstance(exception, PartnerCenterError):
            return RetryDecision.fail(reason=type(exception).__name__)
        return RetryDecision.default()
