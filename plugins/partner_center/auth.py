"""Access tokens of a person who signed in once by device code, kept alive by MSAL's silent refresh.

The same code serves tasks, triggers, scripts and the API server. A token leaves this module in one way only:
`BearerAuth` puts it on a request to the configured host, by https, at the last moment.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from msal import PublicClientApplication, SerializableTokenCache, TokenCache

from partner_center.errors import HOW_TO_SIGN_IN, ConfigurationError, SignInRequired, UnsafeNextLink
from partner_center.login import (
    LoginSession,
    call,
    check,
    detail,
    flow_reason,
    raise_if_busy,
    sign_in_required,
)
from partner_center.redaction import mask_email
from partner_center.retrying import retrying
from partner_center.settings import Settings
from partner_center.token_cache import StoredTokenCache

log = logging.getLogger(__name__)

_PENDING = frozenset({"authorization_pending", "slow_down"})

# A token that ends sooner is fetched anew: MSAL's own limit (msal 1.39 application.py).
_MARGIN = 300


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token; `account` is the masked user name, `account_id` Entra's own id, `expires_at` in epoch seconds."""

    secret: str = field(repr=False)
    expires_at: float
    account: str
    account_id: str = ""

    @property
    def expires_in(self) -> int:
        """Seconds left."""
        return int(self.expires_at - time.time())


class TokenSource:
    """Gives access tokens from the kept cache and keeps what MSAL renews."""

    def __init__(self, settings: Settings, cache: StoredTokenCache) -> None:
        self._settings = settings
        self._cache = cache
        self._token: AccessToken | None = None

    def current(self) -> AccessToken:
        """Return a token with more than five minutes left, silently renewed where needed.

        Raises:
            SignInRequired: a person has to sign in; nothing was sent that could lock the account.
            ApiUnavailable: the login cannot be reached, also after the retries.
            ConfigurationError: the login knows no such tenant, app or scope.
        """
        if self._token is None or self._token.expires_in < _MARGIN:
            self._token = self._retried(force=False)
        return self._token

    def renew(self) -> AccessToken:
        """Return a token fresh from the login, for when the API refused the cached one; raises as `current`."""
        self._token = None
        self._token = self._retried(force=True)
        return self._token

    def start_device_flow(self) -> dict[str, Any]:
        """Return MSAL's device flow: verification_uri, user_code, expires_in, interval; raises as `current`."""
        for attempt in retrying():
            with attempt:
                return self._device_flow()
        raise AssertionError  # the loop above returns or raises

    def finish_device_flow(self, flow: dict[str, Any]) -> AccessToken:
        """Wait until the person has signed in (or the code ends), keep the cache, and return the token."""
        while True:
            token = self.poll_device_flow(flow)
            if token is not None:
                return token
            time.sleep(flow["interval"])

    def poll_device_flow(self, flow: dict[str, Any]) -> AccessToken | None:
        """Ask once whether the person has signed in: the token, kept, or None while they have not.

        MSAL raises ``flow["interval"]`` when the login says slow_down; wait so many seconds between two calls.

        Raises:
            SignInRequired: the person declined, the code ended, or the login gave no refresh token.
        """
        for attempt in retrying():
            with attempt:
                return self._poll(flow)
        raise AssertionError  # the loop above returns or raises

    def _poll(self, flow: dict[str, Any]) -> AccessToken | None:
        session = LoginSession(self._settings.verify)
        cache = SerializableTokenCache()
        app = call(session, lambda: self._app(session, cache))
        result = call(session, lambda: app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True))
        if str(result.get("error")) in _PENDING and time.time() < flow["expires_at"]:
            return None
        if "access_token" not in result:
            raise_if_busy(result, session)
            raise SignInRequired(flow_reason(result), f"The sign-in did not complete. {detail(result)} Start it again.")
        if "refresh_token" not in result:
            raise SignInRequired(
                "no_refresh_token",
                "The login gave no refresh token, so the sign-in would last for an hour only and was not kept. Allow "
                "offline_access for the app registration and sign in again.",
            )
        self._cache.save(cache)
        self._token = self._as_token(result, self._account(cache))
        return self._token

    def _device_flow(self) -> dict[str, Any]:
        session = LoginSession(self._settings.verify)
        flow: dict[str, Any] = call(
            session, lambda: self._app(session, TokenCache()).initiate_device_flow([self._scope])
        )
        check(flow, session, wanted="user_code")
        return flow

    @property
    def _scope(self) -> str:
        return self._settings.scope

    def _app(self, session: LoginSession, cache: TokenCache) -> PublicClientApplication:
        return PublicClientApplication(
            self._settings.client_id,
            authority=self._settings.authority,
            instance_discovery=self._settings.instance_discovery,
            http_client=session,
            token_cache=cache,
        )

    def _retried(self, *, force: bool) -> AccessToken:
        for attempt in retrying():
            with attempt:
                return self._silent(force=force)
        raise AssertionError  # the loop above returns or raises

    def _silent(self, *, force: bool) -> AccessToken:
        cache = self._cache.load()
        # A new app for each attempt: MSAL replays a refusal from memory for a minute (throttled_http_client.py).
        session = LoginSession(self._settings.verify)
        account = self._account(cache)
        app = call(session, lambda: self._app(session, cache))
        result = call(session, lambda: app.acquire_token_silent_with_error([self._scope], account, force_refresh=force))
        try:
            check(result, session)
        except SignInRequired:
            self._forget_access_tokens(cache)
            raise
        self._cache.save(cache)
        return self._as_token(result, account)

    def _account(self, cache: SerializableTokenCache) -> dict[str, Any]:
        accounts = list(cache.search(TokenCache.CredentialType.ACCOUNT))
        ours = [a for a in accounts if a.get("realm") == self._settings.tenant_id] or accounts
        if not ours:
            raise sign_in_required("not_signed_in")
        if len({a["home_account_id"] for a in ours}) > 1:
            raise ConfigurationError(
                f"{len(ours)} accounts are signed in and it is unclear which one to use. Delete the Variable "
                f"partner_center_token_cache. {HOW_TO_SIGN_IN}"
            )
        account: dict[str, Any] = ours[0]
        return account

    def _forget_access_tokens(self, cache: SerializableTokenCache) -> None:
        """Drop cached access tokens after a refused renewal, so that the next run does not trust them either."""
        for token in list(cache.search(TokenCache.CredentialType.ACCESS_TOKEN)):
            cache.remove_at(token)
        self._cache.save(cache)

    def _as_token(self, result: dict[str, Any], account: dict[str, Any]) -> AccessToken:
        return AccessToken(
            secret=result["access_token"],
            expires_at=time.time() + int(result.get("expires_in", 0)),
            account=mask_email(str(account.get("username", ""))),
            account_id=str(account.get("home_account_id", "")),
        )


class BearerAuth(requests.auth.AuthBase):
    """Puts the access token on a request, only if it goes to the configured host by https."""

    def __init__(self, source: TokenSource, settings: Settings) -> None:
        self._source = source
        self._allowed = urlsplit(settings.api_url).netloc.lower()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the Authorization header."""
        target = urlsplit(request.url or "")
        if target.scheme != "https" or target.netloc.lower() != self._allowed:
            raise UnsafeNextLink(
                "A request would have taken the access token to another place than the configured API host by https. "
                "It was not sent. Check the connection's host."
            )
        request.headers["Authorization"] = f"Bearer {self._source.current().secret}"
        return request
