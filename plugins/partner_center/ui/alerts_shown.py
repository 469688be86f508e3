"""Who is told when the sync needs a person, and of what they were told: for the overview, without an address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from partner_center import notifying, watching
from partner_center.accounts import Account
from partner_center.airflow_setup import WATCH_DAG_ID
from partner_center.alert_texts import WORDINGS
from partner_center.alerts import Cause, State
from partner_center.errors import PartnerCenterError
from partner_center.ui import airflow_runs


@dataclass(frozen=True, slots=True)
class OpenCause:
    """A cause that held at the last look; `told` has each channel that was told, and when last."""

    subject: str
    since: datetime
    told: tuple[tuple[str, datetime], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the overview says of alerts; `problems` are what keeps a message from going out."""

    has_email: bool
    services: int
    problems: tuple[str, ...]
    watched_at: datetime | None
    open: tuple[OpenCause, ...]
    advice: str = notifying.HOW_TO_BE_TOLD

    @property
    def is_anybody_told(self) -> bool:
        """Whether there is a channel at all."""
        return self.has_email or self.services > 0


def shown(account: Account) -> Shown:
    """Return what there is to say of an account's alerts."""
    channels = notifying.channels()
    problems = [*_wrong(channels), *([_not_running()] if channels else [])]
    state = watching.kept(account)
    titles = {channel.name: channel.title for channel in channels}
    return Shown(
        has_email=any(notifying.is_email(channel.name) for channel in channels),
        services=sum(not notifying.is_email(channel.name) for channel in channels),
        problems=tuple(each for each in problems if each),
        watched_at=state.watched_at,
        open=tuple(_open(state, titles, cause, since) for cause, since in state.open.items()),
    )


def _open(state: State, titles: dict[str, str], cause: Cause, since: datetime) -> OpenCause:
    entries = ((title, state.told.get(name, {}).get(cause)) for name, title in titles.items())
    told = tuple((title, entry.told_at) for title, entry in entries if entry is not None and entry.over_at is None)
    return OpenCause(WORDINGS[cause].subject, since, told)


def _wrong(channels: list[notifying.Channel]) -> list[str]:
    found = []
    for channel in channels:
        try:
            channel.check()
        except PartnerCenterError as err:
            found.append(str(err))
    return found


def _not_running() -> str:
    schedule = airflow_runs.schedule_of(WATCH_DAG_ID)
    if schedule is None:
        return f"Airflow does not know the DAG {WATCH_DAG_ID} yet, so nobody is told."
    return f"The DAG {WATCH_DAG_ID} is paused, so nobody is told. Unpause it." if schedule.is_paused else ""
