"""Whether an account's sync does what it should, in one word and one sentence.

Where several hold, the first one counts: a sync that is off owes nothing; what cannot be read says nothing good; a
person who has to sign in is the only remedy of the runs that were skipped for it, and of those that failed before;
then the last run's failure; then that the last success is long ago.

1. ``disabled``: the flag is off.
2. ``failing``: the flag, a setting, the sign-in or the warehouse cannot be read.
3. ``sign_in_required``: nobody is signed in, the sign-in has ended, or the last run was skipped for want of one.
4. ``failing``: the last run failed, and Airflow does not try it again.
5. ``stale``: no run has succeeded for three intervals, or none at all.
6. ``ok``.

No call is made but to Airflow's database and the warehouse.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from partner_center import airflow_store
from partner_center.accounts import Account
from partner_center.auth import SIGN_IN_LASTS, SignIn
from partner_center.errors import PartnerCenterError, SchemaBehind
from partner_center.hook import PartnerCenterHook
from partner_center.settings import sync_interval
from partner_center.ui import airflow_runs
from partner_center.ui.reading import Row, reading

log = logging.getLogger(__name__)

Status = Literal["ok", "disabled", "sign_in_required", "stale", "failing"]
STATUSES: tuple[Status, ...] = ("ok", "disabled", "sign_in_required", "stale", "failing")

STALE_AFTER = 3
"""Intervals."""
_SECONDS = 3

# For everybody who asks: fixed, so that they hold no name, address, id or word of a service.
_FLAG = "The feature flag could not be read, so it is not known whether the sync is on."
_OFF = "The sync is switched off."
_SETTINGS = "A setting of the sync is wrong or cannot be read, so no run can succeed."
_WAREHOUSE = "The warehouse cannot be read."
_SIGN_IN = "A person has to sign in to Partner Center: runs are skipped until then."
_FAILED = "The last run failed. The runs' page in Airflow says why."
_NEVER = "No run has succeeded yet. Check that the DAG is not paused and the scheduler runs."
_STALE = "No run has succeeded for three intervals. Check that the DAG is not paused and the scheduler runs."
_UNKNOWN = "The health could not be found out. The API server's log says why."


@dataclass(frozen=True, slots=True)
class Health:
    """How an account's sync is.

    Attributes:
        status: one of `STATUSES`.
        reason: a sentence for everybody, empty when ok.
        is_enabled: whether the flag is on; False where it cannot be read.
        last_success_at: the end of the last run that succeeded, None where there is none or it is not known.
        detail: what else people who are logged in may know, else empty.
    """

    status: Status
    reason: str
    is_enabled: bool
    last_success_at: datetime | None = None
    detail: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nobody has to do anything."""
        return self.status in {"ok", "disabled"}


def health(account: Account) -> Health:
    """Return how an account's sync is; never raises."""
    try:
        return _judged(account)
    except Exception as err:  # whoever watches needs an answer that is red, not a page of an error
        log.exception("The health of %s could not be found out.", account.connection_id)
        return Health("failing", _UNKNOWN, is_enabled=False, detail=f"Unexpected {type(err).__name__}.")


def of_no_account(err: PartnerCenterError) -> Health:
    """Return the health where even the accounts cannot be told."""
    return Health("failing", _SETTINGS, is_enabled=False, detail=str(err))


def _judged(account: Account) -> Health:
    try:
        is_enabled = airflow_store.sync_enabled(account)
    except PartnerCenterError as err:
        return Health("failing", _FLAG, is_enabled=False, detail=str(err))
    if not is_enabled:
        return Health("disabled", _OFF, is_enabled=False, last_success_at=_last_success(account))
    try:
        interval = sync_interval(os.environ)
        tokens = PartnerCenterHook(account.connection_id).tokens
        signed_in, comes_by_itself = tokens.signed_in(), tokens.signs_in_by_itself()
    except PartnerCenterError as err:
        return Health("failing", _SETTINGS, is_enabled=True, last_success_at=_last_success(account), detail=str(err))
    try:
        past = _past(account)
    except PartnerCenterError as err:
        return Health("failing", _WAREHOUSE, is_enabled=True, detail=str(err))
    needs_person = _is_sign_in_missing(signed_in, past, comes_by_itself=comes_by_itself)
    status, reason = _of_runs(past, interval, needs_person=needs_person)
    succeeded_at, told = past.get("last_success_at"), str(past.get("reason") or "")
    return Health(status, reason, is_enabled=True, last_success_at=succeeded_at, detail=told)


def _of_runs(past: Row, interval: timedelta, *, needs_person: bool) -> tuple[Status, str]:
    if needs_person:
        return "sign_in_required", _SIGN_IN
    if past.get("state") == "failed":
        return "failing", _FAILED
    succeeded_at = past.get("last_success_at")
    if succeeded_at is None:
        return "stale", _NEVER
    return ("stale", _STALE) if datetime.now(UTC) - succeeded_at > STALE_AFTER * interval else ("ok", "")


def _is_sign_in_missing(kept: SignIn | None, past: Row, *, comes_by_itself: bool) -> bool:
    """Say whether a person has to sign in; one who has done so since the last run has done it."""
    now = datetime.now(UTC)
    if kept is None or (kept.ends_at is not None and kept.ends_at < now):
        return not comes_by_itself
    used_at = kept.ends_at - SIGN_IN_LASTS if kept.ends_at is not None else None
    return past.get("state") == "skipped" and (used_at is None or used_at < past["finished_at"])


def _past(account: Account) -> dict[str, Any]:
    """Return how the runs ended, nothing where there are none; raises as `reading`."""
    unfinished = airflow_runs.unfinished_run(account.sync_dag)
    try:
        with reading(account, _SECONDS) as reader:
            return reader.row("health", {"unfinished": unfinished}) or {}
    except SchemaBehind:
        return {}  # no run has made the tables yet


def _last_success(account: Account) -> datetime | None:
    try:
        found: datetime | None = _past(account).get("last_success_at")
    except PartnerCenterError:
        return None
    return found
