"""MSAL's token cache in an encrypted Airflow Variable.

The Variable holds refresh tokens: losing it means that a person has to sign in again. So it is written
only when MSAL changed it, and never replaced by a cache that has fewer refresh tokens; and who renews a token does
that alone, from loading to saving.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from msal import SerializableTokenCache

from partner_center.errors import ConfigurationError, SignInRequired
from partner_center.reasons import REASONS
from partner_center.settings import ENVIRONMENT_PREFIX, SIGN_IN_STATE_VARIABLE, TOKEN_CACHE_VARIABLE

log = logging.getLogger(__name__)

DESCRIPTION = "MSAL token cache of the Partner Center sync. Written by sign-in and sync; never edit it by hand."
STATE_DESCRIPTION = "What the next sign-in to Partner Center has to bring. Written by sign-in and sync."
CACHE_PATH_ENVIRONMENT = f"{ENVIRONMENT_PREFIX}TOKEN_CACHE_PATH"


class Store(Protocol):
    """Where the serialized cache is kept."""

    def read(self) -> str | None:
        """Return the text, or None where surely none is kept; raise where that is not known."""

    def write(self, text: str) -> None:
        """Keep the text."""

    def forget(self) -> None:
        """Remove the text and the sign-in's state."""

    def mask(self, secret: str) -> None:
        """Make sure that the secret never shows in a log."""

    def read_state(self) -> str | None:
        """Return the text of the sign-in's state, as `read`."""

    def write_state(self, text: str) -> None:
        """Keep the text of the sign-in's state."""

    def alone(self, *, or_without: bool) -> AbstractContextManager[None]:
        """Return a context in which no other process loads and saves; see `cache_lock.held`."""


class VariableStore:
    """The Variable ``partner_center_token_cache``, with ``partner_center_sign_in_state`` beside it.

    Args:
        key: the Variable's name, another one for each account.
    """

    def __init__(self, key: str = TOKEN_CACHE_VARIABLE) -> None:
        self._key = key
        self._state_key = key.replace(TOKEN_CACHE_VARIABLE, SIGN_IN_STATE_VARIABLE)

    def read(self) -> str | None:
        """Return the Variable's value, or None; raises `VariableUnreadable`."""
        from partner_center import airflow_store

        return airflow_store.get(self._key)

    def write(self, text: str) -> None:
        """Set the Variable."""
        from partner_center import airflow_store

        airflow_store.put(self._key, text, DESCRIPTION)

    def forget(self) -> None:
        """Delete both Variables."""
        from partner_center import airflow_store

        airflow_store.remove(self._key)
        airflow_store.remove(self._state_key)

    def mask(self, secret: str) -> None:
        """Give the secret to Airflow's masker."""
        from airflow.sdk.log import mask_secret

        mask_secret(secret)

    def read_state(self) -> str | None:
        """Return the state's Variable, or None; raises `VariableUnreadable`."""
        from partner_center import airflow_store

        return airflow_store.get(self._state_key)

    def write_state(self, text: str) -> None:
        """Set the state's Variable."""
        from partner_center import airflow_store

        airflow_store.put(self._state_key, text, STATE_DESCRIPTION)

    def alone(self, *, or_without: bool) -> AbstractContextManager[None]:
        """Hold the advisory lock of this Variable in the warehouse."""
        from partner_center import cache_lock

        return cache_lock.held(self._key, or_without=or_without)


class StoredTokenCache:
    """Loads and saves MSAL's cache with the rules of this module.

    Args:
        store: where it is kept.
        takes_file: whether the obsolete cache file, where there is one, is this account's.
    """

    def __init__(self, store: Store, *, takes_file: bool = True) -> None:
        self._store = store
        self._takes_file = takes_file

    @contextmanager
    def alone(self, *, or_without: bool = False) -> Iterator[None]:
        """Be the only process that loads and saves; raises as `cache_lock.held`."""
        with self._store.alone(or_without=or_without):
            yield

    def load(self, *, import_file: bool = True) -> SerializableTokenCache:
        """Return the kept cache; an empty one where nobody has signed in yet.

        Args:
            import_file: take over the obsolete cache file where nothing is kept; to be done alone.

        Raises:
            VariableUnreadable: the look-up failed, which must not look like nobody being signed in.
            ConfigurationError: the Variable holds something that is no MSAL cache.
        """
        cache = SerializableTokenCache()
        text = self._store.read() or (self._imported_once() if import_file else None)
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
        try:
            self.mask_all(cache)
            self._refuse_a_poorer_one(text)
            self._store.write(text)
        except BaseException:
            # MSAL took serialize() for the saving: another try must not find that there is nothing to save.
            cache.has_state_changed = True
            raise
        return True

    def forget(self) -> None:
        """Forget the tokens and what the next sign-in had to bring; to be done alone.

        Raises:
            ConfigurationError: they are kept where Airflow cannot delete them.
            VariableUnreadable: it is not known whether they are gone.
        """
        self._store.forget()
        if self.can_import():
            # Where nothing is kept, the obsolete file would bring its sign-in back.
            self._store.write(_EMPTY)
        if self._store.read() not in {None, _EMPTY}:
            raise ConfigurationError(
                "The token cache does not stand in Airflow's database but in its environment or a secrets backend, so "
                f"nobody was signed out. Remove {TOKEN_CACHE_VARIABLE} (or the account's own) there."
            )

    def claims(self) -> str | None:
        """Return what a claims challenge asks of the next sign-in, as JSON, or None."""
        try:
            state = json.loads(self._store.read_state() or "{}")
        except ValueError:
            return None
        claims = state.get("claims") if isinstance(state, dict) else None
        return claims if isinstance(claims, str) else None

    def keep_claims(self, claims: str | None) -> None:
        """Keep what a claims challenge asks, or forget it once somebody has signed in with it."""
        if claims != self.claims():
            self._store.write_state(json.dumps({"claims": claims} if claims else {}))

    def mask(self, secret: str) -> None:
        """Give one secret that is in no cache yet to the masker."""
        self._store.mask(secret)

    def mask_all(self, cache: SerializableTokenCache) -> None:
        """Give every token and secret of the cache to the masker."""
        for section in ("AccessToken", "RefreshToken", "IdToken"):
            for entry in json.loads(cache.serialize()).get(section, {}).values():
                self._store.mask(entry["secret"])

    def _refuse_a_poorer_one(self, text: str) -> None:
        kept = self._store.read()
        if kept is not None and _refresh_tokens(text) == 0 and _refresh_tokens(kept) > 0:
            raise SignInRequired("no_refresh_token", REASONS["no_refresh_token"].tell())

    def can_import(self) -> bool:
        """Say whether there is an obsolete cache file with a refresh token that was not taken over yet."""
        return self._file_text() is not None and self._store.read() is None

    def _imported_once(self) -> str | None:
        text = self._file_text()
        if text is None:
            return None
        log.warning(
            "%s is obsolete: its file was imported into the Variable %s and is not read again. Remove the setting "
            "and the file.",
            CACHE_PATH_ENVIRONMENT,
            TOKEN_CACHE_VARIABLE,
        )
        self._store.write(text)
        return text

    def _file_text(self) -> str | None:
        path = os.environ.get(CACHE_PATH_ENVIRONMENT) if self._takes_file else None
        if not path or not Path(path).is_file():
            return None
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        return text if _refresh_tokens(text) else None


def _refresh_tokens(text: str) -> int:
    try:
        sections: Any = json.loads(text)
        return len(sections.get("RefreshToken", {}))
    except (ValueError, AttributeError):
        return 0


_EMPTY = "{}"
_BROKEN = (
    f"The Variable {TOKEN_CACHE_VARIABLE} is not a token cache, so nobody counts as signed in. Delete the Variable "
    "and sign in again: python scripts/partner_center_device_code_flow.py"
)
