"""Texts that PostgreSQL takes, and JSON that keeps the digits of its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

_LONGEST_INTEGER = 18
_encode: Callable[[Any], bytes] = msgspec.json.Encoder(decimal_format="number").encode


def is_storable(text: Any) -> bool:
    """Say whether PostgreSQL takes it as a text: without the character that it has not, and without halves of one."""
    if not isinstance(text, str) or "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def from_json(text: str | bytes) -> Any:
    """Read JSON: a number that a float would round, or that Python would not read as an integer, is a Decimal."""
    return json.loads(text, parse_float=Decimal, parse_int=_integer)


def to_json(value: Any) -> bytes:
    """Write JSON: a Decimal as a number with all its digits, a time as ISO 8601 with Z."""
    return _encode(value)


def to_readable_json(value: Any) -> str:
    """Write JSON over several lines."""
    return msgspec.json.format(_encode(value), indent=2).decode()


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _LONGEST_INTEGER else Decimal(text)
