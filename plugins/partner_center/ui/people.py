"""What a referral's JSON tells of people and of what they agreed to, in the order of a page; any shape is taken."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from partner_center.ui.masking import masked

HIDDEN = "This text is no JSON, so the people in it cannot be masked: it is shown to those who may edit the DAG."

_ADDRESS = ("addressLine1", "addressLine2", "postalCode", "city", "region", "state")


@dataclass(frozen=True, slots=True)
class Member:
    """One person; what is not known is empty."""

    name: str
    title: str
    email: str
    phone: str


@dataclass(frozen=True, slots=True)
class People:
    """The people around a referral: the customer's contacts and the partner's team; and what else only JSON holds."""

    contacts: list[Member]
    team: list[Member]
    address: list[tuple[str, str]]
    consent: list[tuple[str, str]]
    notes: str


def people(raw: object) -> People:
    """Read a referral's JSON."""
    customer = _mapping(_mapping(raw).get("customerProfile"))
    address, consent = _mapping(customer.get("address")), _mapping(_mapping(raw).get("consent"))
    return People(
        contacts=_members(customer.get("team")),
        team=_members(_mapping(raw).get("team")),
        address=[(_words(name), str(address[name])) for name in _ADDRESS if address.get(name)],
        consent=[(_words(name), _answer(value)) for name, value in consent.items()],
        notes=_text(_mapping(_mapping(raw).get("details")).get("notes")),
    )


def masked_text(raw: str) -> str:
    """Return the text of a row with its people masked, or what stands in its place."""
    try:
        return json.dumps(masked(json.loads(raw)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return HIDDEN


def _members(value: object) -> list[Member]:
    members = value if isinstance(value, list) else [value]
    return [
        Member(
            name=" ".join(filter(None, (_text(member.get("firstName")), _text(member.get("lastName"))))),
            title=_text(member.get("title")),
            email=_text(member.get("email")),
            phone=_text(member.get("phoneNumber")),
        )
        for member in members
        if isinstance(member, Mapping)
    ]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _answer(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, "not stated") if isinstance(value, bool) else "not stated"


def _words(name: str) -> str:
    """``consentToToShareInfoWithOthers`` becomes ``consent to share info with others``; the API doubles the "To"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", name).lower()
    return words.replace("to to ", "to ").capitalize().replace("microsoft", "Microsoft")
