"""What a $filter compares: properties, literals, times, and what a comparison of two of them means."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Expression = Callable[[Any, Any], Any]

PROPERTIES = frozenset(
    [
        "id",
        "engagementId",
        "name",
        "organizationId",
        "organizationName",
        "externalReferenceId",
        "createdDateTime",
        "updatedDateTime",
        "expirationDateTime",
        "acceptedDateTime",
        "closedDateTime",
        "status",
        "substatus",
        "statusReason",
        "qualification",
        "type",
        "direction",
        "referralSource",
        "callToAction",
        "eTag",
        "favorite",
        "campaignId",
        "salesStage",
        "quality",
        "isSpam",
        "mpnId",
        "referralProgram",
        "dealSensitivity",
        "createdVia",
        "lastModifiedVia",
        "lastRunId",
        "tags",
        "registrationStatus",
        "registrations",
        "target",
        "customerProfile",
        "consent",
        "details",
        "team",
        "inviteContext",
        "trackingInfo",
        "links",
    ]
)
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True)
class Operand:
    """A side of a comparison: the kind of literal, or `path`, and how to read it."""

    kind: str
    read: Expression


def instant(value: Any) -> str | None:
    """Write a time as UTC text of seven fraction digits, which sorts as time does; None if it is none."""
    found = INSTANT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    minute, second, fraction, zone = found.groups()
    if zone not in (None, "Z"):
        try:
            moved = datetime.fromisoformat(f"{minute}:00{zone}").astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        minute = f"{moved:%Y-%m-%dT%H:%M}"
        minute = minute.rjust(16, "0")
    return f"{minute}:{second or '00'}.{(fraction or '')[:7]:0<7}"


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


# What a property's value is before it is compared with a literal of this kind; None where it does not fit.
CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "string": lambda value: value if isinstance(value, str) else None,
    "guid": lambda value: value.lower() if isinstance(value, str) else None,
    "datetime": instant,
    "number": _number,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "null": lambda value: value,
    "path": lambda value: instant(value) or value,
}


def literal(kind: str, text: str) -> Any:
    """Read a literal; None if it only looks like a time."""
    if kind == "string":
        return text[1:-1].replace("''", "'")
    if kind == "number":
        return float(text) if set(text) & set(".eE") else int(text)
    if kind == "guid":
        return text.lower()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant(text)


def comparison(name: str, left: Operand, right: Operand) -> Expression:
    """Build the comparison of two operands; a value of another kind equals nothing and has no order."""
    compare = OPERATORS[name]
    convert_left, convert_right = CONVERSIONS[right.kind], CONVERSIONS[left.kind]
    equality = name in ("eq", "ne")

    def holds(row: Any, item: Any) -> bool:
        a, b = convert_left(left.read(row, item)), convert_right(right.read(row, item))
        if equality:
            return compare(a, b)
        if a is None or b is None or isinstance(a, str) is not isinstance(b, str):
            return False
        return isinstance(a, str | int | float) and compare(a, b)

    return holds
