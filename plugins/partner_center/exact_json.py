"""JSON that goes through this code and comes out with its numbers to the last digit, and its searching. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

# A number of JSON is carried through as it was written, to the last digit: marked by a character of no language.
NUMBER = "\ue000"
_MARKED = re.compile(r'"\\ue000([^"]*)"')
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def read_json(text: str) -> Any:
    """Decode JSON so that `write_json` gives its numbers back exactly; raises ValueError, RecursionError."""
    return json.loads(text, parse_float=_marked, parse_int=_marked, parse_constant=_marked)


def write_json(document: Any) -> str:
    """Encode what `read_json` has decoded."""
    return _MARKED.sub(r"\1", json.dumps(document))


def as_written(value: str) -> str:
    """Return a text, or a number as it was written, of what `read_json` has decoded."""
    return value.removeprefix(NUMBER)


def _marked(number: str) -> str:
    return f"{NUMBER}{number}"


def unescaped(text: str) -> str:
    """Return a JSON text with its letters in place of their numbers; for searching alone."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text) if "\\u" in text else text
