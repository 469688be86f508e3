"""Who must not be stored again: fingerprints of erased people, and how a row that comes in loses them. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache

from partner_center.exact_json import as_written, read_json, unescaped
from partner_center.mail_addresses import addresses, folded
from partner_center.personal import Traces

ADDRESS, REFERRAL = "address", "referral"
SALT_BYTES = 32


def fingerprint(kind: str, value: str, salt: bytes) -> bytes:
    """Return what stands for an e-mail address (any case) or a referral's id, and tells nothing of it."""
    text = folded(value.strip()) if kind == ADDRESS else value.strip()
    return hmac.digest(salt, f"{kind}:{text}".encode(errors="surrogatepass"), hashlib.sha256)


class ErasedPeople:
    """All of them, of one account.

    Args:
        rows: kind, fingerprint and salt of each; the salt is the same in all.
    """

    def __init__(self, rows: Iterable[tuple[str, bytes, bytes]]) -> None:
        self._known: set[tuple[str, bytes]] = set()
        self._salt = b""
        for kind, known, salt in rows:
            self._known.add((kind, known))
            self._salt = salt
        self._has_referrals = any(kind == REFERRAL for kind, _ in self._known)
        # The same people stand in many rows.
        self._is_erased = lru_cache(maxsize=65_536)(self._is_known)

    def __len__(self) -> int:
        return len(self._known)

    def _is_known(self, address: str) -> bool:
        return (ADDRESS, fingerprint(ADDRESS, address, self._salt)) in self._known

    def strip(self, raw: bytes) -> bytes:
        """Return a row as the API sent it without them; the very same bytes where none stands in it."""
        try:
            text, errors = raw.decode(), "strict"
        except UnicodeDecodeError:
            text, errors = raw.decode(errors="surrogateescape"), "surrogateescape"
        everybody = self._has_referrals and self._is_of_erased_referral(text)
        if not everybody and not any(map(self._is_erased, addresses(unescaped(text)))):
            return raw
        return Traces(self._is_erased, everybody=everybody).erased_text(text).encode(errors=errors)

    def _is_of_erased_referral(self, text: str) -> bool:
        try:
            document = read_json(text)
        except (ValueError, RecursionError):
            return False
        found = document.get("id") if isinstance(document, dict) else None
        known = fingerprint(REFERRAL, as_written(found), self._salt) if isinstance(found, str) else b""
        return (REFERRAL, known) in self._known
