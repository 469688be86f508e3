"""Referrals as CSV for a spreadsheet: UTF-8 with its mark, and no cell that would be run as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Any

from partner_center.accounts import Account
from partner_center.ui import inbox
from partner_center.ui.inbox import Filters
from partner_center.ui.reading import EXPORT_SECONDS, Row, reading

COLUMNS = (
    "referral_id", "name", "customer_name", "customer_country", "status", "substatus", "referral_type", "direction",
    "link_status", "domain", "candidates", "deal_value", "currency", "created_at", "updated_at", "expires_at",
    "missing_since",
)  # fmt: skip
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_ROWS_AT_ONCE = 500


def chunks(account: Account, filters: Filters, sort: str, descending: bool | None) -> Iterator[bytes]:
    """Return the file in pieces, whose first one is read before this returns.

    Raises:
        ConfigurationError, WarehouseUnavailable, WarehouseError: the warehouse does not answer.
    """
    pieces = _pieces(account, filters, sort, descending)
    return chain([next(pieces)], pieces)


def _pieces(account: Account, filters: Filters, sort: str, descending: bool | None) -> Iterator[bytes]:
    with reading(account, EXPORT_SECONDS) as reader, closing(inbox.export(reader, filters, sort, descending)) as rows:
        piece = list(islice(rows, _ROWS_AT_ONCE))
        yield _BOM + _written([COLUMNS]) + _written(map(_cells, piece))
        while piece := list(islice(rows, _ROWS_AT_ONCE)):
            yield _written(map(_cells, piece))


_BOM = b"\xef\xbb\xbf"


def _written(lines: Any) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def _cells(row: Row) -> list[Any]:
    return [_cell(row[column]) for column in COLUMNS]


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, datetime):
        # All are in UTC.
        return f"{value.isoformat(timespec='seconds')[:19]}Z"
    return f"{value:f}" if isinstance(value, Decimal) else value
