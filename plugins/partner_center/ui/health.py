"""Whether an account's sync does what it should, in one word and one sentence; `judgement.py` says which word when.

``unreadable`` and ``failed`` are both ``failing`` here, as the contract has it; ``stale`` is three intervals.
No call is made but to Airflow's database and the warehouse.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from partner_center.accounts import Account
from partner_center.errors import PartnerCenterError
from partner_center.judgement import STALE_AFTER, Judgement, Part, Verdict, judge, past_runs
from partner_center.settings import sync_interval
from partner_center.ui import airflow_runs

log = logging.getLogger(__name__)

Status = Literal["ok", "disabled", "sign_in_required", "stale", "failing"]
STATUSES: tuple[Status, ...] = ("ok", "disabled", "sign_in_required", "stale", "failing")

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

_UNREADABLE: Mapping[Part, str] = {"flag": _FLAG, "settings": _SETTINGS, "warehouse": _WAREHOUSE}
_SAID: Mapping[Verdict, tuple[Status, str]] = {
    "ok": ("ok", ""),
    "disabled": ("disabled", _OFF),
    "sign_in_required": ("sign_in_required", _SIGN_IN),
    "failed": ("failing", _FAILED),
    "stale": ("stale", _STALE),
}


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
    found = judge(account, is_unfinished=partial(_is_unfinished, account), patience=_patience)
    succeeded_at = found.last_success_at
    if found.verdict == "disabled" or found.part == "settings":
        succeeded_at = _last_success(account)
    status, reason = _said(found)
    return Health(status, reason, found.is_enabled, succeeded_at, found.detail)


def _patience() -> timedelta:
    return STALE_AFTER * sync_interval(os.environ)


def _said(found: Judgement) -> tuple[Status, str]:
    if found.verdict == "unreadable":
        return "failing", _UNREADABLE[found.part]
    if found.verdict == "stale" and found.last_success_at is None:
        return "stale", _NEVER
    return _SAID[found.verdict]


def _is_unfinished(account: Account, run_id: str) -> bool:
    return airflow_runs.unfinished_run(account.sync_dag) == run_id


def _last_success(account: Account) -> datetime | None:
    try:
        found: datetime | None = past_runs(account, partial(_is_unfinished, account)).get("last_success_at")
    except PartnerCenterError:
        return None
    return found
