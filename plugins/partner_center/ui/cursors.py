"""Cursors: where a page of the inbox ends, as a text for an address."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from partner_center.ui.storable import is_storable

Kind = Literal["time", "number", "text"]

_NO_CURSOR = "The cursor is none of this list and this order. Begin without it."


def _number(text: str) -> Decimal:
    """Read a number that PostgreSQL's numeric can hold; raises ValueError, ArithmeticError."""
    found = Decimal(text)
    if found.is_finite() and abs(found.adjusted()) > 1000:
        raise ValueError(_NO_CURSOR)
    return found


_READ: dict[Kind, Callable[[str], Any]] = {"time": datetime.fromisoformat, "number": _number, "text": str}


@dataclass(frozen=True, slots=True)
class Place:
    """The last referral of a page: its value in the order (None for none), its id, and how many stand up to it."""

    value: Any
    referral_id: str
    position: int

    def text(self) -> str:
        """Return the cursor."""
        value = None if self.value is None else str(self.value)
        given = json.dumps([value, self.referral_id, self.position], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(given.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, cursor: str, kind: Kind) -> Place:
        """Read a cursor.

        Args:
            cursor: as `text` made it.
            kind: of the order's values.

        Raises:
            ValueError: it is none of this order.
        """
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            value, referral_id, position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            read = None if value is None else _READ[kind](value)
            is_whole = is_storable(value or "") and is_storable(referral_id) and _is_count(position)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as err:
            raise ValueError(_NO_CURSOR) from err
        if not is_whole:
            raise ValueError(_NO_CURSOR)
        return cls(read, referral_id, position)


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**53
