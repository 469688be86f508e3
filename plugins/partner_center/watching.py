"""One look at an account: what holds of it, what was told of it, and sending what is due. The DAG's task calls it.

What was told stands in an Airflow Variable, since the warehouse being away is one of the causes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from partner_center import airflow_store, alerts, notifying
from partner_center.accounts import Account
from partner_center.alert_texts import text_of
from partner_center.alerts import Cause, Policy, Seen, State, View
from partner_center.errors import AlertNotSent, PartnerCenterError, SchemaBehind
from partner_center.judgement import STALE_AFTER, Judgement, judge
from partner_center.settings import (
    ALERT_REMINDER_VARIABLE,
    ALERT_STALE_VARIABLE,
    CONNECTION_ID,
    sync_interval,
)
from partner_center.ui.reading import reading

log = logging.getLogger(__name__)

_SECONDS = 3
_DESCRIPTION = "What the alerts of the Partner Center sync have told: times and causes. Delete it to be told anew."
_HIDING: tuple[Cause, ...] = ("unreadable", "sign_in_required", "failed", "stale")


def watch(account: Account, is_unfinished: Callable[[str], bool]) -> dict[str, Any]:
    """Look at an account, and send what is due.

    Args:
        account: which.
        is_unfinished: whether Airflow has not ended a run of the account's sync yet, by its id.

    Returns:
        What holds, and how many messages were sent.

    Raises:
        AlertNotSent: a channel did not take a message; what the others took is noted.
    """
    now = datetime.now(UTC)
    before = kept(account)
    policy, view, on_since = _look(account, before, is_unfinished, now)
    state = replace(before, on_since=on_since, watched_at=now, open=alerts.opened(before.open, view))
    round_ = _Round(account, view, now, policy, state.told)
    try:
        for channel in notifying.channels():
            round_.tell(channel)
    finally:
        airflow_store.put(account.alerts_variable, state.to_json(), _DESCRIPTION)
    log.info("Open: %s. Messages sent: %d.", ", ".join(state.open) or "nothing", round_.sent)
    if round_.problems:
        raise AlertNotSent(" ".join(round_.problems))
    return {"open": list(state.open), "sent": round_.sent}


def kept(account: Account) -> State:
    """Return what the last look left; an empty state where there is none, or none that can be read."""
    try:
        text = airflow_store.get(account.alerts_variable)
        return State.from_json(text) if text else State()
    except (PartnerCenterError, ValueError):
        # To tell something twice is better than not to tell it.
        log.warning("%s cannot be read, so what is open is told anew.", account.alerts_variable)
        return State()


@dataclass
class _Round:
    """Sends what is due, channel by channel, and notes in `told` what was sent."""

    account: Account
    view: View
    now: datetime
    policy: Policy
    told: dict[str, dict[Cause, alerts.Entry]]
    sent: int = 0

    def __post_init__(self) -> None:
        self.problems: list[str] = []

    def tell(self, channel: notifying.Channel) -> None:
        """Send what is due on one channel, up to what it does not take."""
        ledger = self.told.setdefault(channel.name, {})
        for cause in alerts.CAUSES:
            message, entry = alerts.step(ledger.get(cause), cause, self.view, self.now, self.policy)
            if message is not None:
                try:
                    channel.send(text_of(self.account, message, _link(self.account)))
                except PartnerCenterError as err:
                    self.problems.append(str(err))
                    return
                self.sent += 1
                log.info("Sent by %s: %s, %s.", channel.title, message.cause, message.kind)
            ledger.pop(cause, None)
            if entry is not None:
                ledger[cause] = entry


def _look(
    account: Account, before: State, is_unfinished: Callable[[str], bool], now: datetime
) -> tuple[Policy, View, datetime | None]:
    """Return the policy, what holds, and since when the sync is switched on."""
    policy = Policy()
    try:
        found = judge(account, is_unfinished=is_unfinished, patience=_patience, waits_from=before.on_since or now)
        if found.verdict != "disabled":
            policy = _policy()
    except PartnerCenterError as err:
        found = Judgement("unreadable", "settings", detail=str(err))
    except Exception as err:  # whoever waits for alerts has to be told of just that
        log.exception("The state of %s could not be found out.", account.connection_id)
        found = Judgement("unreadable", detail=f"Unexpected {type(err).__name__}: the log of this task says more.")
    if found.verdict == "disabled":
        return policy, View({}, is_off=True), None
    quarantine = None if found.verdict == "unreadable" else _quarantine(account)
    on_since = (before.on_since or now) if found.is_enabled else before.on_since
    return policy, view_of(found, quarantine, now), on_since


def view_of(found: Judgement, quarantine: Seen | PartnerCenterError | None, now: datetime) -> View:
    """Return which causes hold: of those that hide each other the first, and nothing is said of those behind it.

    Args:
        found: how the sync is.
        quarantine: its open rows, None where there are none, an error where that is not known.
        now: since when something holds of which the runs do not say it.
    """
    holds: dict[Cause, Seen] = {}
    unknown: set[Cause] = set()
    if found.verdict in _HIDING:
        # The last run's reason is that of the verdict only where that run has shown it.
        is_shown = found.verdict in {"unreadable", "failed"} or (found.verdict != "stale" and found.since is not None)
        detail, run_id = (found.detail, found.run_id) if is_shown else ("", "")
        holds[found.verdict] = Seen(found.since or now, detail, run_id)
        unknown.update(_HIDING[_HIDING.index(found.verdict) + 1 :])
    if isinstance(quarantine, Seen):
        holds["quarantine"] = quarantine
    elif quarantine is not None or found.verdict == "unreadable":
        unknown.add("quarantine")
    return View(holds, frozenset(unknown))


def _quarantine(account: Account) -> Seen | PartnerCenterError | None:
    try:
        with reading(account, _SECONDS) as reader:
            row = reader.row("quarantine_open")
    except SchemaBehind:
        return None
    except PartnerCenterError as err:
        return err
    if row is None:
        return None
    count = row["open_rows"]
    rows = "1 row waits" if count == 1 else f"{count} rows wait"
    detail = f"{rows} there; the newest for the reason {row['reason']}."
    return Seen(row["received_at"], detail, row["run_id"], row["quarantine_id"])


def _patience() -> timedelta:
    """Return how long the last success may be ago: at least three intervals, whatever the setting says."""
    minutes = airflow_store.number(ALERT_STALE_VARIABLE, 60)
    return max(timedelta(minutes=minutes), STALE_AFTER * sync_interval(os.environ))


def _policy() -> Policy:
    return Policy(timedelta(hours=airflow_store.number(ALERT_REMINDER_VARIABLE, 24)) or None)


def _link(account: Account) -> str:
    """Return the address of the account's overview."""
    from airflow.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    query = "" if account.connection_id == CONNECTION_ID else f"?connection={account.connection_id}"
    return f"{base}/partner-center/{query}"
