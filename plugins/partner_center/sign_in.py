"""Sign-in by device code, for whoever can show a person a few lines of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from partner_center.auth import AccessToken, TokenSource
from partner_center.hook import PartnerCenterHook
from partner_center.token_cache import StoredTokenCache, VariableStore


def instructions(flow: Mapping[str, Any]) -> list[str]:
    """Return what a person has to read to complete a device flow."""
    return [
        f"Open {flow['verification_uri']} in a browser, on any device, and sign in to Partner Center there.",
        f"Code: {flow['user_code']}",
        f"Waiting; the code ends in {flow['expires_in'] // 60} minutes.",
    ]


def by_device_code(show: Callable[[str], None]) -> AccessToken:
    """Show where to sign in, wait for it, keep the tokens, and read them back from where they are kept.

    Raises:
        SignInRequired: the person declined, or the code ended.
        ApiUnavailable, ConfigurationError: as `TokenSource.start_device_flow`.
    """
    store = VariableStore()
    store.read()  # raises where nothing could be kept, before a person takes the trouble
    hook = PartnerCenterHook()
    flow = hook.tokens.start_device_flow()
    for line in instructions(flow):
        show(line)
    hook.tokens.finish_device_flow(flow)
    return TokenSource(hook.settings, StoredTokenCache(store)).current()
