"""Which alerts are due: what holds of an account against what was told of it. Pure: no clock, no store, no sending.

A cause is told once when it opens, again after `Policy.reminder` while it stays open, and once when it is over. It is
not told again and again while it comes and goes: one that comes back within `QUIET` of its end is told, and then over
only after it has stayed away for `QUIET`.

Each channel has a ledger of its own, so that one which does not answer is told later and the others not twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

import msgspec

Cause = Literal["unreadable", "sign_in_required", "failed", "stale", "quarantine"]
CAUSES: tuple[Cause, ...] = ("unreadable", "sign_in_required", "failed", "stale", "quarantine")
"""In the order in which they hide each other, but for the last, which stands for itself."""

Kind = Literal["opened", "still", "more", "over", "switched_off"]

QUIET = timedelta(minutes=30)
MORE_AFTER = timedelta(hours=24)
"""More rows in a quarantine that was told are no new cause: they are told once a day."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A cause that holds.

    Attributes:
        since: since when, as far as it is known.
        detail: what is known of it; may hold whatever a service said.
        run_id: the run that showed it, or empty.
        newest: number of the newest quarantined row, 0 for other causes.
    """

    since: datetime
    detail: str = ""
    run_id: str = ""
    newest: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """What holds of an account now.

    Attributes:
        holds: the causes that are open.
        unknown: causes of which nothing can be said now, because another one hides them: they stay as they are.
        is_off: the sync is switched off, so nothing is owed.
    """

    holds: Mapping[Cause, Seen]
    unknown: frozenset[Cause] = frozenset()
    is_off: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How often: `reminder` is the time between two messages of a cause that stays open, None for no second one."""

    reminder: timedelta | None = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a channel was told of a cause.

    Attributes:
        since: since when it held.
        told_at: when the last message went out.
        newest: the newest quarantined row that was told of.
        comes_back: it had come back soon after its end, so its next end is told late.
        away_since: since when it does not hold any more, though that was not told yet.
        over_at: when its end was told.
    """

    since: datetime
    told_at: datetime
    newest: int = 0
    comes_back: bool = False
    away_since: datetime | None = None
    over_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message that is due; `seen` is None for an end."""

    kind: Kind
    cause: Cause
    since: datetime
    now: datetime
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What one look leaves for the next.

    Attributes:
        on_since: since when the sync is known to be switched on, None while it is off.
        watched_at: when it was last looked.
        open: the causes that held then, with since when.
        told: channel to what it was told.
    """

    on_since: datetime | None = None
    watched_at: datetime | None = None
    open: dict[Cause, datetime] = field(default_factory=dict)
    told: dict[str, dict[Cause, Entry]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the state as text: times and names of causes and channels, nothing else."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> State:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is nothing of that kind.
        """
        return msgspec.json.decode(text, type=cls)


def opened(before: Mapping[Cause, datetime], view: View) -> dict[Cause, datetime]:
    """Return the causes that are open now, each with since when: the first time counts as long as it stays open."""
    held = {cause: before[cause] for cause in CAUSES if cause in before and cause in view.unknown}
    return held | {cause: before.get(cause, seen.since) for cause, seen in view.holds.items()}


def step(
    entry: Entry | None, cause: Cause, view: View, now: datetime, policy: Policy
) -> tuple[Message | None, Entry | None]:
    """Decide about one cause on one channel.

    Args:
        entry: what the channel was told of it, None where it was not or that is long over.
        cause: which.
        view: what holds.
        now: the time.
        policy: how often.

    Returns:
        The message that is due, if any, and the entry that holds once it is sent, or at once where none is due.
    """
    if cause in view.unknown:
        return None, entry
    seen = view.holds.get(cause)
    if seen is None:
        return _away(entry, cause, view, now)
    if entry is None or entry.over_at is not None:
        comes_back = entry is not None and entry.over_at is not None and now - entry.over_at < QUIET
        return (
            Message("opened", cause, seen.since, now, seen),
            Entry(seen.since, now, seen.newest, comes_back=comes_back),
        )
    entry = replace(entry, away_since=None)
    kind = _again(entry, seen, now, policy)
    if kind is None:
        return None, entry
    return Message(kind, cause, entry.since, now, seen), replace(entry, told_at=now, newest=seen.newest)


def _again(entry: Entry, seen: Seen, now: datetime, policy: Policy) -> Kind | None:
    ago = now - entry.told_at
    if seen.newest:
        return "more" if seen.newest > entry.newest and ago >= MORE_AFTER else None
    return "still" if policy.reminder is not None and ago >= policy.reminder else None


def _away(entry: Entry | None, cause: Cause, view: View, now: datetime) -> tuple[Message | None, Entry | None]:
    if entry is None:
        return None, None
    if entry.over_at is not None:
        return None, entry if now - entry.over_at < QUIET else None
    away_since = entry.away_since or now
    if entry.comes_back and not view.is_off and now - away_since < QUIET:
        return None, replace(entry, away_since=away_since)
    kind: Kind = "switched_off" if view.is_off else "over"
    return Message(kind, cause, entry.since, now), replace(entry, told_at=now, away_since=away_since, over_at=now)
