"""How much a run reads: what changed since the watermark, or everything.

No delta link and no tombstones exist in the Referrals API, and `updatedDateTime` is filterable by an old table of the
documentation only. So there are two ways to ask for changes, and a full read now and then.
https://learn.microsoft.com/en-us/partner-center/developer/referrals
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

INCREMENTAL, FULL, REPLAY = "incremental", "full", "replay"

BY_FILTER = "filter"
"""``$filter=updatedDateTime ge …``: the API sends the changes alone."""
BY_ORDER = "orderby"
"""``$orderby=updatedDateTime desc``, ended where the rows are older: for an API that refuses the filter."""
EVERYTHING = "full"

RETRY_SWEEP = timedelta(hours=1)
"""A full read that failed is tried again after so long; in between, the changes still come in."""


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier runs of the same scope (API, account, direction, statuses, rules) have left.

    Attributes:
        watermark: newest updatedDateTime that a verified run has loaded.
        strategy: how the last incremental run since the last full one asked the API.
        last_full: when the last verified full run began.
        last_full_try: when the last full run began, however it ended.
        is_empty: no referral is stored.
    """

    watermark: datetime | None = None
    strategy: str | None = None
    last_full: datetime | None = None
    last_full_try: datetime | None = None
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How a run reads. `since` is the watermark less the overlap; both are None when everything is read."""

    mode: str
    strategy: str
    reason: str
    watermark: datetime | None = None
    since: datetime | None = None


def plan(asked: str, past: Past, now: datetime, overlap: timedelta, sweep_every: timedelta | None) -> ReadPlan:
    """Decide how a run reads.

    Args:
        asked: the run's param ``mode``.
        past: what earlier runs have left.
        now: the warehouse's time.
        overlap: how far behind the watermark to read again, for rows that appear late.
        sweep_every: a full read is due after so long; None: never by itself.
    """
    if asked == FULL:
        return _everything("asked for")
    if past.watermark is None:
        return _everything("no run of these settings, account and rules has been verified yet")
    if past.is_empty:
        return _everything("no referral is stored")
    if sweep_every is not None and _is_due(past, now, sweep_every):
        return _everything("the daily sweep is due" if sweep_every == timedelta(days=1) else "the sweep is due")
    reason = f"changes since {past.watermark:%Y-%m-%dT%H:%M:%SZ}, less {_minutes(overlap)}"
    return ReadPlan(INCREMENTAL, past.strategy or BY_FILTER, reason, past.watermark, past.watermark - overlap)


def _everything(reason: str) -> ReadPlan:
    return ReadPlan(FULL, EVERYTHING, reason)


def _is_due(past: Past, now: datetime, sweep_every: timedelta) -> bool:
    if past.last_full is not None and now - past.last_full < sweep_every:
        return False
    return past.last_full_try is None or now - past.last_full_try >= min(RETRY_SWEEP, sweep_every)


def _minutes(overlap: timedelta) -> str:
    return f"{overlap.total_seconds() / 60:g} min"
