"""One referral as the API sends it: what the pipeline needs of a row, or why it cannot be stored.

SQL reads the text fields from the stored JSON (``include/sql/sync/load_40_write_referrals.sql``); what SQL could
stumble over (ids, dates, numbers, contacts) is read here. Field names and shapes:
https://learn.microsoft.com/en-us/partner-center/developer/referrals
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from partner_center.contract import CUSTOMER_FIELDS, DETAILS_FIELDS, FIELDS, Drift, unknown_fields, unknown_values
from partner_center.domains import Hint, hints

LONGEST_ID = 255

NOT_AN_OBJECT = "not_an_object"
MALFORMED_JSON = "malformed_json"
INVALID_UTF8 = "invalid_utf8"
NUL_CHARACTER = "nul_character"
LONE_SURROGATE = "lone_surrogate"
NESTED_TOO_DEEP = "nested_too_deep"
NO_ID = "no_id"
ID_TOO_LONG = "id_too_long"

_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_SURROGATE = re.compile("[\ud800-\udfff]")
# A numeric of PostgreSQL holds 131,072 digits before the point; nothing near that is a deal value.
_NUMBER = re.compile(r"\s*([+-]?\d{1,60}(?:\.\d{1,60})?(?:[eE][+-]?\d{1,2})?)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Referral:
    """A row that can be stored. Times are UTC and None where the API's text is no time."""

    referral_id: str
    direction: str | None
    status: str | None
    created_at: datetime | None
    updated_at: datetime | None
    updated_tick: int
    """The seventh fraction digit of updatedDateTime (100 ns), which timestamptz does not hold."""
    expires_at: datetime | None
    closing_at: datetime | None
    deal_value: str | None
    """A decimal number as text, exactly as sent."""
    hints: list[Hint]
    content_hash: bytes
    payload: str
    drift: tuple[Drift, ...]
    """What the row holds and this package does not know."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that cannot be stored, with the reason code and its text as it came."""

    reason: str
    raw: str


class _Details(msgspec.Struct):
    deal_value: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="dealValue")
    closing: Any = msgspec.field(default=None, name="closingDateTime")


class _Row(msgspec.Struct):
    id: Any = None
    direction: Any = None
    status: Any = None
    substatus: Any = None
    type: Any = None
    qualification: Any = None
    created: Any = msgspec.field(default=None, name="createdDateTime")
    updated: Any = msgspec.field(default=None, name="updatedDateTime")
    expires: Any = msgspec.field(default=None, name="expirationDateTime")
    customer_profile: Any = msgspec.field(default=None, name="customerProfile")
    details: _Details | None = None


def _complete(loose: type[msgspec.Struct], known: frozenset[str], **fields: Any) -> type[Any]:
    """Return the same struct with every known field, which refuses all others: the check costs no second pass."""
    missing = sorted(known.difference(loose.__struct_encode_fields__))
    others: list[tuple[str, Any, Any]] = [
        (f"other_{number}", msgspec.Raw, msgspec.field(default=msgspec.Raw(b""), name=name))
        for number, name in enumerate(missing)
    ]
    others += [(name, kind, None) for name, kind in fields.items()]
    return msgspec.defstruct("Complete", others, bases=(loose,), forbid_unknown_fields=True)


_CompleteDetails = _complete(_Details, DETAILS_FIELDS)
_decode_complete = msgspec.json.Decoder(_complete(_Row, FIELDS, details=_CompleteDetails | None)).decode
_decode = msgspec.json.Decoder(_Row).decode


def parse(raw: bytes) -> Referral | Quarantined:
    """Read one row of a page; never raises for anything that a row can hold."""
    try:
        payload = raw.decode()
    except UnicodeDecodeError:
        return Quarantined(INVALID_UTF8, raw.decode(errors="backslashreplace"))
    reason = _unstorable(raw, payload)
    row = None if reason else _read(raw)
    if isinstance(row, str):
        reason = row
    if row is None or isinstance(row, str):
        return Quarantined(reason or MALFORMED_JSON, payload)
    referral_id = _identifier(row.id)
    if not referral_id:
        return Quarantined(NO_ID, payload)
    if len(referral_id) > LONGEST_ID:
        return Quarantined(ID_TOO_LONG, payload)
    return _referral(row, referral_id, raw, payload)


def _referral(row: _Row, referral_id: str, raw: bytes, payload: str) -> Referral:
    details = row.details or _Details()
    return Referral(
        referral_id=referral_id,
        direction=_text(row.direction),
        status=_text(row.status),
        created_at=moment(row.created),
        updated_at=moment(row.updated),
        updated_tick=_tick(row.updated),
        expires_at=moment(row.expires),
        closing_at=moment(details.closing),
        deal_value=_decimal(bytes(details.deal_value)),
        hints=hints(row.customer_profile),
        content_hash=hashlib.sha256(raw).digest()[:16],
        payload=payload,
        drift=_drift(row, raw),
    )


def _drift(row: _Row, raw: bytes) -> tuple[Drift, ...]:
    customer = row.customer_profile if isinstance(row.customer_profile, dict) else {}
    found = unknown_fields("customerProfile", customer, CUSTOMER_FIELDS)
    found += unknown_values(row.status, row.substatus, row.type, row.qualification, row.direction)
    if type(row) is _Row:  # it was not complete: something in it is unknown, or of an unusual shape
        fields = json.loads(raw, parse_float=str, parse_int=str)
        details = fields.get("details")
        found += unknown_fields("", fields, FIELDS)
        found += unknown_fields("details", details if isinstance(details, dict) else {}, DETAILS_FIELDS)
    return found


def _unstorable(raw: bytes, payload: str) -> str | None:
    """Say why PostgreSQL's jsonb would refuse the text, which is so for U+0000 and lone surrogates."""
    if not _SUSPICIOUS.search(raw):
        return None
    try:
        # Dumped without escapes, every string of the row, keys too, stands in one text that can be searched.
        plain = json.dumps(json.loads(payload), ensure_ascii=False)
    except ValueError:
        return MALFORMED_JSON
    except RecursionError:
        return NESTED_TOO_DEEP
    if re.search(r"(?<!\\)(?:\\\\)*\\u0000", plain):
        return NUL_CHARACTER
    return LONE_SURROGATE if _SURROGATE.search(plain) else None


def _read(raw: bytes) -> _Row | str:
    """Decode a row leniently, or say why it cannot be."""
    for decode in (_decode_complete, _decode):
        try:
            return decode(raw)
        except msgspec.MsgspecError:
            continue  # an unknown field or an unusual shape; the slow way below tells what it is
        except RecursionError:
            return NESTED_TOO_DEEP
    try:
        row = json.loads(raw, parse_float=str, parse_int=str)
    except ValueError:
        return MALFORMED_JSON
    except RecursionError:
        return NESTED_TOO_DEEP
    return _lenient(row) if isinstance(row, Mapping) else NOT_AN_OBJECT


def _lenient(row: Mapping[str, Any]) -> _Row:
    details = row.get("details")
    details = details if isinstance(details, Mapping) else {}
    return _Row(
        id=row.get("id"),
        direction=row.get("direction"),
        status=row.get("status"),
        substatus=row.get("substatus"),
        type=row.get("type"),
        qualification=row.get("qualification"),
        created=row.get("createdDateTime"),
        updated=row.get("updatedDateTime"),
        expires=row.get("expirationDateTime"),
        customer_profile=row.get("customerProfile"),
        details=_Details(msgspec.Raw(json.dumps(details.get("dealValue")).encode()), details.get("closingDateTime")),
    )


def _identifier(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def moment(value: object) -> datetime | None:
    """Read a time of the API: ISO 8601 with 0 to 7 fraction digits (cut to 6), UTC where no zone is given.

    .NET's smallest time (year 1) stands for "not set" and gives None, as does everything that is no time.
    """
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value.strip())
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if time.year > 1 else None


def _tick(value: object) -> int:
    seventh = re.match(r"[^.]*\.\d{6}(\d)", value) if isinstance(value, str) else None
    return int(seventh.group(1)) if seventh else 0


def _decimal(raw: bytes) -> str | None:
    """Read a number, or a number as text, without rounding; None for anything else."""
    text = raw.decode().strip('"')
    found = _NUMBER.fullmatch(text)
    return found.group(1) if found else None
