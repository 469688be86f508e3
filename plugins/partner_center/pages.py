"""Splits the body of one listing page into rows, so that one bad row never costs the page.

The fast way (msgspec) copes with everything that is valid JSON, without decoding a row. Where it gives up, for
example on a lone surrogate or on extreme nesting, a scanner that knows strings and brackets only cuts the rows out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec


class GarbledPage(ValueError):
    """The body is not a listing page: cut off, HTML, or no ``value`` array."""


@dataclass(frozen=True, slots=True)
class PageBody:
    """The raw JSON text of each element of ``value``, in order, and the next link as sent."""

    rows: list[bytes]
    next_link: object


class _Envelope(msgspec.Struct):
    value: list[msgspec.Raw]
    next_link: Any = msgspec.field(default=None, name="@odata.nextLink")


_decode = msgspec.json.Decoder(_Envelope).decode
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)


def split_page(body: bytes) -> PageBody:
    """Split a page.

    Raises:
        GarbledPage: there is no telling where its rows begin and end.
    """
    try:
        envelope = _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return _scan_page(body)
    return PageBody([bytes(row) for row in envelope.value], envelope.next_link)


def _scan_page(body: bytes) -> PageBody:
    start, end, rows = _find_value(body)
    try:
        rest = json.loads(body[:start] + b"[]" + body[end:], strict=False)
    except (ValueError, RecursionError) as err:
        raise GarbledPage("the page's envelope is not JSON") from err
    if not isinstance(rest, dict):
        raise GarbledPage("the page is no object")
    return PageBody(rows, rest.get("@odata.nextLink"))


def _find_value(body: bytes) -> tuple[int, int, list[bytes]]:
    """Return where the ``value`` array begins and ends, and its elements."""
    tokens = _TOKEN.finditer(body)
    depth = 0
    key = b""
    for token in tokens:
        text = token.group()
        if text in b"{[":
            if depth == 1 and text == b"[" and key == b'"value"':
                rows, end = _elements(body, token.end(), tokens)
                return token.start(), end, rows
            depth += 1
        elif text in b"}]":
            depth -= 1
        elif depth == 1 and text not in b":,":
            key = text
    raise GarbledPage("the page has no value array")


def _elements(body: bytes, begin: int, tokens: Iterator[re.Match[bytes]]) -> tuple[list[bytes], int]:
    rows: list[bytes] = []
    depth = 0
    for token in tokens:
        text = token.group()
        if text in b"}]" and depth == 0:
            last = body[begin : token.start()].strip()
            return [*rows, last] if last else rows, token.end()
        if text in b"{[":
            depth += 1
        elif text in b"}]":
            depth -= 1
        elif text == b"," and depth == 0:
            rows.append(body[begin : token.start()].strip())
            begin = token.end()
    raise GarbledPage("the page ends in the middle of its rows")
