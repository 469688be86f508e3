"""Finds e-mail addresses in any text, to be compared with known ones. Pure.

`domains.py` reads the addresses of a customer, by all rules; here, nothing that may be one is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

# As wide as can be: what is found is compared with addresses that are known, or by fingerprint. Linear: it starts only
# behind a break.
_BREAK = r"\s\"<>()\[\],;:|\\"
_ADDRESS = re.compile(rf"(?<![^{_BREAK}])[^{_BREAK}@]+@[^{_BREAK}?/]+")
_RUN, _HOST = re.compile(rf"[^{_BREAK}@]+"), re.compile(rf"[^{_BREAK}?/]+")
_LONGEST = 320
_AROUND = ".'`*"
_LETTERS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def folded(text: str) -> str:
    """Return a text with the letters A to Z made small, as partner_center_folded does; its length stays."""
    return text.translate(_LETTERS)


def addresses(text: str) -> Iterator[str]:
    """Yield what may be an e-mail address in a text, folded."""
    at = text.find("@")
    while at >= 0:
        before = _RUN.match(text[max(0, at - _LONGEST) : at][::-1])
        after = _HOST.match(text, at + 1)
        if before and after:
            yield folded(f"{before[0][::-1]}@{after[0]}".strip(_AROUND))
        at = text.find("@", at + 1)


def replaced(text: str, is_meant: Callable[[str], bool], local: str) -> str:
    """Return a text in which the addresses that are meant have another local part; `is_meant` gets them folded."""

    def instead(found: re.Match[str]) -> str:
        address = found[0].strip(_AROUND)
        return (
            found[0].replace(address, f"{local}@{address.rpartition('@')[2]}")
            if is_meant(folded(address))
            else found[0]
        )

    return _ADDRESS.sub(instead, text) if "@" in text else text
