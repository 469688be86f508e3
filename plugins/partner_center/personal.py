"""Finds the traces of people in a referral's JSON, and erases them; the domain of an address stays. Pure.

A person is told by an e-mail address. An object with fields of a person (`PERSON_KEYS`) that holds the address is a
contact: its texts go, and where its name and its phone number stand in other texts of the document, they go, too. The
address becomes ``erased@<its domain>``, so that the customer's domain is found as before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from partner_center.exact_json import NUMBER, read_json, unescaped, write_json
from partner_center.mail_addresses import addresses, folded, replaced

PERSON_KEYS = frozenset(
    {"firstname", "lastname", "fullname", "displayname", "email", "emailaddress", "phone", "phonenumber", "mobile"}
)
"""Of a contact, a member of a team, or whoever else the API may name: in small letters, at any depth."""
ADDRESS_KEYS = frozenset({"addressline1", "addressline2"})
FREE_KEYS = frozenset({"notes"})
"""Free text, in which a person may be named without a mark."""

ERASED_NAME = "erased"
MARK = f"[{ERASED_NAME}]"
_MAIL, _PHONE = ("email", "emailaddress"), ("phone", "phonenumber", "mobile")

_KEYS_IN_TEXT = re.compile(rf'("(?:{"|".join(sorted(PERSON_KEYS))})"\s*:\s*)"(?:[^"\\]|\\.)*"?', re.IGNORECASE)
_SHORTEST_PHONE = 6


class Traces:
    """What is to be erased: the people of some addresses, or everybody.

    `learn` from every document first, so that a name is found also where the address does not stand beside it.

    Args:
        is_erased: whether a folded address is one of theirs.
        everybody: erase all people, street addresses and notes.
    """

    def __init__(self, is_erased: Callable[[str], bool], *, everybody: bool = False) -> None:
        self._is_erased = is_erased
        self._everybody = everybody
        self._names: set[tuple[str, str]] = set()
        self._phones: set[str] = set()
        self._patterns: tuple[re.Pattern[str] | None, re.Pattern[str] | None] | None = None

    def learn(self, document: Any) -> None:
        """Take over names and phone numbers of their contacts."""
        if isinstance(document, Mapping):
            if _is_contact(document) and self._is_theirs(document):
                self._note(document)
            for value in document.values():
                self.learn(value)
        elif isinstance(document, list):
            for value in document:
                self.learn(value)

    def erased(self, document: Any, key: str = "") -> Any:
        """Return JSON without them; numbers, ids, companies, other people and the shape of everything stay."""
        if isinstance(document, Mapping):
            return self._of_mapping(document)
        if isinstance(document, list):
            return [self.erased(value, key) for value in document]
        return self._of_text(document, folded(key)) if isinstance(document, str) else document

    def erased_text(self, text: str) -> str:
        """Return a text that should be JSON without them: the very same text where they do not stand in it.

        Where it is no JSON, nothing tells whose a field is: with the address, all fields of people go.
        """
        try:
            document = read_json(text)
        except (ValueError, RecursionError):
            return self._of_broken(text)
        self.learn(document)
        without = self.erased(document)
        return text if without == document else write_json(without)

    def _of_broken(self, text: str) -> str:
        if self._everybody or any(map(self._is_erased, addresses(unescaped(text)))):
            text = self._without_addresses(_KEYS_IN_TEXT.sub(r"\1null", text.replace("\\u0040", "@")))
        return self._without(text, self._pattern()[0])

    def _is_theirs(self, contact: Mapping[str, Any]) -> bool:
        if self._everybody:
            return True
        found = [address for text in _texts(contact) for address in addresses(text)]
        if found:
            return any(map(self._is_erased, found))
        # Without any address, it is whoever has the name, or the number.
        return _name(contact) in self._names or bool(self._phones.intersection(_digits(contact)))

    def _note(self, contact: Mapping[str, Any]) -> None:
        name = _name(contact)
        new = ({name} if any(name) else set()) - self._names
        phones = {digits for digits in _digits(contact) if len(digits) >= _SHORTEST_PHONE} - self._phones
        if new or phones:
            self._names |= new
            self._phones |= phones
            self._patterns = None

    def _of_mapping(self, mapping: Mapping[str, Any]) -> dict[str, Any]:
        if not _is_contact(mapping):
            return {key: self.erased(value, key) for key, value in mapping.items()}
        if self._is_theirs(mapping):
            return {key: self._of_contact(key, value) for key, value in mapping.items()}
        # A colleague may share the phone number, and have the name.
        return {
            key: self._without_addresses(value) if isinstance(value, str) else self.erased(value, key)
            for key, value in mapping.items()
        }

    def _of_contact(self, key: str, value: Any) -> Any:
        if not isinstance(value, str):
            return None if value is not None and folded(key) in PERSON_KEYS else self.erased(value, key)
        if value.startswith(NUMBER) and folded(key) not in PERSON_KEYS:
            return value
        if folded(key) in _MAIL and "@" in value:
            return self._without(self._without_addresses(value), self._pattern()[0])
        return value if value == "" else None

    def _of_text(self, text: str, key: str) -> str | None:
        if text.startswith(NUMBER) or not text:
            return text
        if self._everybody and key in ADDRESS_KEYS | FREE_KEYS:
            return MARK
        full, words = self._pattern()
        text = self._without(self._without_addresses(text), full)
        return self._without(text, words) if key in FREE_KEYS else text

    def _without_addresses(self, text: str) -> str:
        return replaced(text, lambda address: self._everybody or self._is_erased(address), ERASED_NAME)

    @staticmethod
    def _without(text: str, pattern: re.Pattern[str] | None) -> str:
        return pattern.sub(MARK, text) if pattern else text

    def _pattern(self) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
        """Return what finds full names and phone numbers, and what finds one of two names in free text."""
        if self._patterns is None:
            full = [form for name in sorted(self._names) for form in _forms(*name)]
            full += [_spaced(phone) for phone in sorted(self._phones)]
            words = {word for name in self._names for word in name if len(word) > 1}
            self._patterns = _any_of(full, re.IGNORECASE), _any_of(map(re.escape, sorted(words)))
        return self._patterns


def _any_of(forms: Any, flags: int = 0) -> re.Pattern[str] | None:
    alternatives = "|".join(sorted(forms, key=len, reverse=True))
    return re.compile(rf"(?<![\w+-])(?:{alternatives})(?![\w-])", flags) if alternatives else None


def _forms(first: str, last: str) -> list[str]:
    """Return a full name as people write it; one name alone is no trace outside of free text."""
    if not first or not last:
        return []
    given, family = (r"\s+".join(map(re.escape, name.split())) for name in (first, last))
    return [rf"{given}\s+{family}", rf"{family},?\s+{given}", rf"{family}{given}"]


def _spaced(digits: str) -> str:
    return r"\+?\(?" + r"[\s()./-]{0,3}".join(digits)


def _is_contact(mapping: Mapping[str, Any]) -> bool:
    # A company with people in it is none of them, whatever else it has.
    return "team" not in mapping and any(folded(key) in PERSON_KEYS for key in mapping)


def _texts(mapping: Mapping[str, Any]) -> list[str]:
    return [value for value in mapping.values() if isinstance(value, str)]


def _field(mapping: Mapping[str, Any], *keys: str) -> Iterator[str]:
    for key, value in mapping.items():
        if folded(key) in keys and isinstance(value, str) and value.strip():
            yield value.strip()


def _name(contact: Mapping[str, Any]) -> tuple[str, str]:
    """Return first and last name; a full one is cut at its last space."""
    first, last = next(_field(contact, "firstname"), ""), next(_field(contact, "lastname"), "")
    if not first and not last:
        first, _, last = next(_field(contact, "fullname", "displayname"), "").rpartition(" ")
    return first, last


def _digits(contact: Mapping[str, Any]) -> Iterator[str]:
    for number in _field(contact, *_PHONE):
        digits = re.sub(r"\D", "", number)
        if len(set(digits)) > 1:
            yield digits
