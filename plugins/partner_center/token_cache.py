"""MSAL's token cache in an encrypted Airflow Variable.

The Variable holds refresh tokens: losing it means that a person has to sign in again. So it is written
only when MSAL changed it, and never replaced by a cache that has fewer refresh tokens.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, Protocol

from msal import SerializableTokenCache

from partner_center.errors import ConfigurationError, SignInRequired
from partner_center.settings import ENVIRONMENT_PREFIX, TOKEN_CACHE_VARIABLE

log = logging.getLogger(__name__)

DESCRIPTION = "MSAL token cache of the Partner Center sync. Written by sign-in and sync; never edit it by hand."
CACHE_PATH_ENVIRONMENT = f"{ENVIRONMENT_PREFIX}TOKEN_CACHE_PATH"


class Store(Protocol):
    """Where the serialized cache is kept."""

    def read(self) -> str | None:
        """Return the text, or None where surely none is kept; raise where that is not known."""

    def write(self, text: str) -> None:
        """Keep the text."""

    def mask(self, secret: str) -> None:
        """Make sure that the secret never shows in a log."""


class VariableStore:
    """The Variable ``partner_center_token_cache``."""

    def __init__(self, key: str = TOKEN_CACHE_VARIABLE) -> None:
        self._key = key

    def read(self) -> str | None:
        """Return the Variable's value, or None; raises `VariableUnreadable`."""
        from partner_center import airflow_store

        return airflow_store.get(self._key)

    def write(self, text: str) -> None:
        """Set the Variable."""
        from partner_center import airflow_store

        airflow_store.put(self._key, text, DESCRIPTION)

    def mask(self, secret: str) -> None:
        """Give the secret to Airflow's masker."""
        from airflow.sdk.log import mask_secret

        mask_secret(secret)


class StoredTokenCache:
    """Loads and saves MSAL's cache with the rules of this module."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> SerializableTokenCache:
        """Return the kept cache; an empty one where nobody has signed in yet.

        Raises:
            VariableUnreadable: the look-up failed, which must not look like nobody being signed in.
            ConfigurationError: the Variable holds something that is no MSAL cache.
        """
        cache = SerializableTokenCache()
        text = self._store.read() or self._imported_once()
        if text:
            try:
                cache.deserialize(text)
                self.mask_all(cache)
            except (ValueError, TypeError, AttributeError, KeyError):
                # Without its cause: that would quote the text, which may be a secret of another kind.
                raise ConfigurationError(_BROKEN) from None
        return cache

    def save(self, cache: SerializableTokenCache) -> bool:
        """Keep the cache if MSAL changed it; return whether it was written.

        Raises:
            SignInRequired: writing would have replaced a kept refresh token by none.
            VariableUnreadable: it is not known what would have been replaced.
        """
        if not cache.has_state_changed:
            return False
        text = cache.serialize()
        self.mask_all(cache)
        self._refuse_a_poorer_one(text)
        self._store.write(text)
        return True

    def mask_all(self, cache: SerializableTokenCache) -> None:
        """Give every token and secret of the cache to the masker."""
        for section in ("AccessToken", "RefreshToken", "IdToken"):
            for entry in json.loads(cache.serialize()).get(section, {}).values():
                self._store.mask(entry["secret"])

    def _refuse_a_poorer_one(self, text: str) -> None:
        kept = self._store.read()
        if kept is not None and _refresh_tokens(text) == 0 and _refresh_tokens(kept) > 0:
            raise SignInRequired("no_refresh_token", _POORER)

    def _imported_once(self) -> str | None:
        path = os.environ.get(CACHE_PATH_ENVIRONMENT)
        if not path or not Path(path).is_file():
            return None
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        if _refresh_tokens(text) == 0:
            return None
        log.warning(
            "%s is obsolete: its file was imported into the Variable %s and is not read again. Remove the setting "
            "and the file.",
            CACHE_PATH_ENVIRONMENT,
            TOKEN_CACHE_VARIABLE,
        )
        self._store.write(text)
        return text


def _refresh_tokens(text: str) -> int:
    try:
        sections: Any = json.loads(text)
        return len(sections.get("RefreshToken", {}))
    except (ValueError, AttributeError):
        return 0


_BROKEN = (
    f"The Variable {TOKEN_CACHE_VARIABLE} is not a token cache, so nobody counts as signed in. Delete the Variable "
    "and sign in again: python scripts/partner_center_device_code_flow.py"
)
_POORER = (
    "The sign-in gave no refresh token, so the kept one was not replaced: it would have lasted for an hour only. "
    "Allow offline_access for the app registration and sign in again."
)
