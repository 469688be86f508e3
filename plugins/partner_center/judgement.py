"""How an account's sync is, in one word: what the pages, the metrics and the alerts agree on.

Where several hold, the first one counts: a sync that is off owes nothing; what cannot be read says nothing good; a
person who has to sign in is the only remedy of the runs that were skipped for it, and of those that failed before;
then the last run's failure; then that the last success is long ago.

1. ``disabled``: the flag is off.
2. ``unreadable``: the flag, a setting, the sign-in or the warehouse cannot be read.
3. ``sign_in_required``: nobody is signed in, the sign-in has ended, or the last run was skipped for want of one.
4. ``failed``: the last run failed, and Airflow does not try it again.
5. ``stale``: no run has succeeded for so long, or none at all.
6. ``ok``.

No call is made but to Airflow and the warehouse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from partner_center import airflow_store
from partner_center.accounts import Account
from partner_center.auth import SIGN_IN_LASTS, SignIn
from partner_center.errors import PartnerCenterError, SchemaBehind
from partner_center.ui.reading import Row, reading

Verdict = Literal["ok", "disabled", "unreadable", "sign_in_required", "failed", "stale"]
Part = Literal["", "flag", "settings", "warehouse"]

STALE_AFTER = 3
"""Intervals."""
_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found.

    Attributes:
        verdict: the word.
        part: what cannot be read, where that is the verdict.
        is_enabled: whether the flag is on; False where it cannot be read.
        last_success_at: the end of the last run that succeeded, None where there is none or it was not looked for.
        since: since when the verdict holds, where the runs say so.
        run_id: the last run that counts, or empty.
        detail: an error's message or the last run's reason, for people who are logged in; else empty.
    """

    verdict: Verdict
    part: Part = ""
    is_enabled: bool = True
    last_success_at: datetime | None = None
    since: datetime | None = None
    run_id: str = ""
    detail: str = ""


def judge(
    account: Account,
    *,
    is_unfinished: Callable[[str], bool],
    patience: Callable[[], timedelta],
    waits_from: datetime | None = None,
) -> Judgement:
    """Judge an account's sync.

    Args:
        account: which.
        is_unfinished: whether Airflow has not ended a run of the account's sync yet, by its id.
        patience: how long the last success may be ago; may raise `PartnerCenterError`, as a setting does.
        waits_from: a time before which no success is missed.
    """
    part: Part = "flag"
    try:
        if not airflow_store.sync_enabled(account):
            return Judgement("disabled", is_enabled=False)
        part = "settings"
        allowed = patience()
        kept, comes_by_itself = _sign_in(account)
        part = "warehouse"
        past = past_runs(account, is_unfinished)
    except PartnerCenterError as err:
        return Judgement("unreadable", part, is_enabled=part != "flag", detail=str(err))
    if _is_sign_in_missing(kept, past, comes_by_itself=comes_by_itself):
        return _told("sign_in_required", past, past.get("finished_at") if past.get("state") == "skipped" else None)
    return _of_runs(past, allowed, waits_from)


def _of_runs(past: Row, allowed: timedelta, waits_from: datetime | None) -> Judgement:
    if past.get("state") == "failed":
        return _told("failed", past, past["finished_at"])
    succeeded_at = past.get("last_success_at")
    latest = max((each for each in (succeeded_at, waits_from) if each is not None), default=None)
    if latest is None or datetime.now(UTC) - latest > allowed:
        return _told("stale", past, latest)
    return _told("ok", past, succeeded_at)


def past_runs(account: Account, is_unfinished: Callable[[str], bool]) -> dict[str, Any]:
    """Return how the runs ended (include/sql/ui/health.sql), nothing where there are none.

    Raises:
        ConfigurationError, WarehouseUnavailable, WarehouseError: as `warehouse.connect`.
    """
    try:
        with reading(account, _SECONDS) as reader:
            found = reader.row("health", {"unfinished": None}) or {}
            if found.get("state") == "failed" and is_unfinished(found["run_id"]):
                found = reader.row("health", {"unfinished": found["run_id"]}) or {}
            return found
    except SchemaBehind:
        return {}  # no run has made the tables yet


def _sign_in(account: Account) -> tuple[SignIn | None, bool]:
    """Return who is signed in, and whether the next run signs in by itself."""
    from partner_center.hook import PartnerCenterHook

    tokens = PartnerCenterHook(account.connection_id).tokens
    return tokens.signed_in(), tokens.signs_in_by_itself()


def _is_sign_in_missing(kept: SignIn | None, past: Row, *, comes_by_itself: bool) -> bool:
    """Say whether a person has to sign in; one who has done so since the last run has done it."""
    now = datetime.now(UTC)
    if kept is None or (kept.ends_at is not None and kept.ends_at < now):
        return not comes_by_itself
    used_at = kept.ends_at - SIGN_IN_LASTS if kept.ends_at is not None else None
    return past.get("state") == "skipped" and (used_at is None or used_at < past["finished_at"])


def _told(verdict: Verdict, past: Row, since: datetime | None) -> Judgement:
    return Judgement(
        verdict,
        last_success_at=past.get("last_success_at"),
        since=since,
        run_id=str(past.get("run_id") or ""),
        detail=str(past.get("reason") or ""),
    )
