"""Masks e-mail addresses and phone numbers in text that goes to a log or an error."""

from __future__ import annotations

import re

_EMAIL = re.compile(r"([\w!#$%&'*+/=?^`{|}~.-])[^\s@\"'<>()]{0,254}@([^\s@\"'<>(),;]+)")
_QUOTED = re.compile(r"\"(?:[^\"\\\n]|\\.){1,254}\"@(?=[^\s@\"'<>(),;])")
# Bare digit runs (ids, counts, ports) stay readable: a phone number has a leading + or separators.
_PHONE = re.compile(r"(?<![\w.+-])(?:\+\d[\d ()./-]{6,}\d|\(?0\d{1,5}\)?[ /-]\d[\d ()/-]{4,}\d)(?![\w-])")


def mask_email(address: str) -> str:
    """``aino.laine@contoso.com`` becomes ``a***@contoso.com``, ``"uwe lang"@firma.de`` becomes ``"***"@firma.de``."""
    return _EMAIL.sub(r"\1***@\2", _QUOTED.sub('"***"@', address))


def redact(text: str) -> str:
    """Return the text with every e-mail address and phone number masked."""
    return _PHONE.sub("[phone]", mask_email(text))
