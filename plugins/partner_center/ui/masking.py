"""Hides the people in a referral's JSON from those who may only read it."""

from __future__ import annotations

from typing import Any

from partner_center.redaction import redact

MASK = "***"

# Of a contact, a member of a team, or whoever else the API may name: in any case, at any depth.
_OF_A_PERSON = frozenset(
    {"firstname", "lastname", "fullname", "displayname", "email", "emailaddress", "phone", "phonenumber", "mobile"}
)
_ADDRESS_LINES = frozenset({"addressline1", "addressline2"})
# Free text, in which a person may be named without a mark.
_FREE = frozenset({"notes"})


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
    return key.lower() in _OF_A_PERSON | _ADDRESS_LINES | _FREE


def _hidden(value: Any) -> Any:
    """Hide a value of any shape; nothing stays nothing, so that it can be told from something hidden."""
    if isinstance(value, dict):
        return {key: _hidden(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    return value if value is None or value == "" else MASK
