"""What an alert says: what happened, what it means, what to do, where to look. No secret, and no person's data."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from partner_center.accounts import Account
from partner_center.alerts import Cause, Kind, Message
from partner_center.redaction import redact

Weight = Literal["failure", "warning", "success", "info"]

_LONGEST_DETAIL = 1_500


@dataclass(frozen=True, slots=True)
class Text:
    """A message as a channel sends it: one line, paragraphs, and how bad it is."""

    subject: str
    paragraphs: tuple[str, ...]
    weight: Weight

    @property
    def body(self) -> str:
        """The paragraphs as plain text."""
        return "\n\n".join(self.paragraphs)

    @property
    def html(self) -> str:
        """The paragraphs as HTML; whatever a service said stands there as text."""
        return "".join(f"<p>{html.escape(each)}</p>" for each in self.paragraphs)


@dataclass(frozen=True, slots=True)
class Wording:
    """How people are told of a cause: in the subject, what happened, what it means and what to do, and how it ends."""

    subject: str
    happened: str
    means: str
    over: str


WORDINGS: Mapping[Cause, Wording] = {
    "unreadable": Wording(
        "the state of the sync cannot be read",
        "The flag, a setting, the sign-in or the warehouse cannot be read.",
        "It is not known whether referrals come in, and most likely none do. Do as the text above says; make doctor "
        "(or python scripts/partner_center_doctor.py) looks at each part.",
        "the state of the sync can be read again",
    ),
    "sign_in_required": Wording(
        "a person has to sign in",
        "Nobody is signed in to Partner Center, or the sign-in does not count any more.",
        "Runs are skipped until then, and nothing is lost: the next run reads what has changed meanwhile. Sign in on "
        "the page below, under Sign-in.",
        "somebody is signed in again",
    ),
    "failed": Wording(
        "sync failed",
        "The last run of the sync failed, and Airflow does not try it again.",
        "What changed in Partner Center since the last success is not in the warehouse. The next run tries it anew; if "
        "it fails, too, do as the text above says. The run's page has the rest.",
        "sync succeeds again",
    ),
    "stale": Wording(
        "no success for too long",
        "No run of the sync has succeeded for longer than it may take.",
        "New referrals are not in the warehouse. See in Airflow whether the DAG of the sync is paused, whether it can "
        "be imported, and whether a run hangs.",
        "sync succeeds again",
    ),
    "quarantine": Wording(
        "rows in the quarantine",
        "Rows that Partner Center sent could not be stored.",
        "They are kept with their reason, and all others are stored. Look into them on the page below, under "
        "Quarantine; once mended, replay them there.",
        "the quarantine is empty",
    ),
}
_HEADINGS: Mapping[Kind, str] = {"opened": "{}", "still": "still: {}", "more": "more {}"}
_WEIGHTS: Mapping[Kind, Weight] = {
    "opened": "failure",
    "still": "warning",
    "more": "warning",
    "over": "success",
    "switched_off": "info",
}


def text_of(account: Account, message: Message, link: str) -> Text:
    """Put a message into words.

    Args:
        account: whose.
        message: what is told.
        link: address of the account's overview.
    """
    wording = WORDINGS[message.cause]
    if message.kind == "over":
        subject, told = f"over: {wording.over}", _end(message, wording)
    elif message.kind == "switched_off":
        subject, told = f"switched off; was: {wording.subject}", _switched_off(message, wording)
    else:
        subject, told = _HEADINGS[message.kind].format(wording.subject), _opening(message, wording)
    return Text(f"[Partner Center] {account.name}: {subject}", (*told, link), _WEIGHTS[message.kind])


def duration(span: timedelta) -> str:
    """Return a time span as people say it, such as ``25 minutes``."""
    minutes = max(int(span.total_seconds() // 60), 0)
    for unit, size in (("day", 1440), ("hour", 60)):
        if minutes >= 2 * size:
            return f"{minutes // size} {unit}s"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _opening(message: Message, wording: Wording) -> tuple[str, ...]:
    detail = run_id = ""
    if message.seen is not None:
        detail, run_id = _short(redact(message.seen.detail)), message.seen.run_id
    since = f"Since {_moment(message.since)}{f', run {run_id}' if run_id else ''}."
    again = "You were told of it before, and it is still so." if message.kind == "still" else ""
    return tuple(each for each in (wording.happened, detail, wording.means, again, since) if each)


def _end(message: Message, wording: Wording) -> tuple[str, ...]:
    happened = f"{wording.over[0].upper()}{wording.over[1:]}. What it was: {wording.subject}."
    return happened, f"It lasted for {_lasted(message)}. Nothing is to be done."


def _switched_off(message: Message, wording: Wording) -> tuple[str, ...]:
    happened = f"The sync was switched off while this was open: {wording.subject}, for {_lasted(message)}."
    return happened, "Nothing is called any more, and nothing more is told until it is switched on again."


def _lasted(message: Message) -> str:
    return f"{duration(message.now - message.since)}, from {_moment(message.since)} to {_moment(message.now)}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]} …"
