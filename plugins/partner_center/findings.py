"""What a doctor found: for each check one line for a person, and the same as JSON for a machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from partner_center.errors import ApiUnavailable, PartnerCenterError
from partner_center.reasons import DOCUMENT, REASONS
from partner_center.redaction import redact

OK, WARNING, NOT_OK, SKIPPED = "ok", "warning", "NOT OK", "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one check ended.

    Attributes:
        check: its name.
        status: ok, warning, NOT OK or skipped.
        found: what was found, or why nothing was looked at; never a secret, a person's name masked.
        reason: one of the codes of ``reasons.py``, or empty.
        advice: what to do, or empty.
    """

    check: str
    status: str
    found: str
    reason: str = ""
    advice: str = ""

    def line(self) -> str:
        """Return the finding as one line."""
        parts = (self.found, f"[{self.reason}]" if self.reason else "", self.advice)
        return f"{self.status:<8} {self.check:<16} {' '.join(part for part in parts if part)}"

    def as_dict(self) -> dict[str, Any]:
        """Return the finding for JSON."""
        return asdict(self)


def ok(found: str) -> Finding:
    """Return the finding that all is well; like the next ones, it gets its name from whoever looked."""
    return Finding("", OK, found)


def warning(found: str, advice: str) -> Finding:
    """Return the finding that somebody should know of something, though a run would go well."""
    return Finding("", WARNING, found, "", advice)


def not_ok(found: str, advice: str) -> Finding:
    """Return the finding that a run would not go well."""
    return Finding("", NOT_OK, found, "", advice)


def skipped(found: str) -> Finding:
    """Return the finding that nothing was looked at, with the reason."""
    return Finding("", SKIPPED, found)


def of_error(err: PartnerCenterError, hint: str = "") -> Finding:
    """Return the finding for an error of ours, whose message says what happened, what it means and what to do.

    Args:
        err: the error.
        hint: put before the advice where the outside world does not answer.
    """
    text = redact(" ".join(str(err).removesuffix(f" [{err.reason}]").split()))
    reason = REASONS.get(err.reason)
    if reason is None:
        found, advice = _first_sentence(text)
    else:
        found = text.partition(reason.remedy)[0].strip()
        advice = f"{reason.remedy} Who: {reason.who}. More: {DOCUMENT}#{reason.code}"
    if isinstance(err, ApiUnavailable) and hint:
        advice = f"{hint} {advice}"
    return Finding("", NOT_OK, found, err.reason, advice)


def of_reason(code: str, detail: str = "") -> Finding:
    """Return the finding for a reason that a check has come to by itself."""
    reason = REASONS[code]
    advice = f"{reason.remedy} Who: {reason.who}. More: {DOCUMENT}#{code}"
    return Finding("", NOT_OK, f"{reason.meaning}. {detail}".strip(), code, advice)


def unexpected(err: Exception, hint: str = "") -> Finding:
    """Return the finding for an error that nobody foresaw: its type and place, but no text, which may hold a secret."""
    if type(err).__module__.startswith("sqlalchemy."):
        advice = "Run: airflow db migrate, and check AIRFLOW_HOME and AIRFLOW__DATABASE__SQL_ALCHEMY_CONN."
        found = f"Airflow's metadata database cannot be used ({type(err).__name__})."
        return not_ok(found, f"{hint} {advice}".strip())
    found = f"An unexpected {type(err).__name__} at {_place(err)}."
    advice = "Run the DAG and read the log of acquire_token, which shows the whole error; report this line."
    return not_ok(found, advice)


def exit_code(found: Iterable[Finding]) -> int:
    """Return 1 where anything is not ok; a warning is no failure."""
    return int(any(each.status == NOT_OK for each in found))


def _first_sentence(text: str) -> tuple[str, str]:
    first = re.match(r"(.+?\.)\s+(?=[A-Z])(.*)", text)
    return (first[1], first[2]) if first else (text, "")


def _place(err: Exception) -> str:
    """Return the innermost place in our own code, the innermost of all where there is none."""
    places = []
    step = err.__traceback__
    while step is not None:
        places.append((step.tb_frame.f_globals.get("__name__", ""), step.tb_lineno))
        step = step.tb_next
    ours = [place for place in places if place[0].startswith("partner_center.")]
    module, line = (ours or places or [("an unknown place", 0)])[-1]
    return f"{module}, line {line}"
