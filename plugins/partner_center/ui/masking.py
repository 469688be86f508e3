"""Hides the people in a referral's JSON from those who may only read it."""

from __future__ import annotations

from typing import Any

from partner_center.personal import ADDRESS_KEYS, FREE_KEYS, PERSON_KEYS
from partner_center.redaction import redact

MASK = "***"


def masked(raw: Any) -> Any:
    """Return JSON without names, e-mail addresses and phone numbers of people; company, deal and ids stay.

    Notes are hidden as a whole: nothing tells a name in them from another word.
    """
    if isinstance(raw, dict):
        return {key: _hidden(value) if _is_of_a_person(key) else masked(value) for key, value in raw.items()}
    if isinstance(raw, list):
        return [masked(value) for value in raw]
    return redact(raw) if isinstance(raw, str) else raw


def _is_of_a_person(key: str) -> bool:
    return key.lower() in PERSON_KEYS | ADDRESS_KEYS | FREE_KEYS


def _hidden(value: Any) -> Any:
    """Hide a value of any shape; nothing stays nothing, so that it can be told from something hidden."""
    if isinstance(value, dict):
        return {key: _hidden(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    return value if value is None or value == "" else MASK
