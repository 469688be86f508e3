"""Access tokens of a person who signed in once, kept alive by MSAL's silent refresh.

The same code serves tasks, triggers, scripts and the API server. A token leaves this module in one way only:
`BearerAuth` puts it on a request to the configured host, by https, at the last moment.
"""

from __future__ import annotations

import hmac
import logging
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from msal import ConfidentialClientApplication, PublicClientApplication, SerializableTokenCache, TokenCache

from partner_center import reasons, token_claims
from partner_center.errors import ConfigurationError, PartnerCenterError, SignInRequired, UnsafeNextLink
from partner_center.login import LoginSession, call, check, raise_if_busy, refusal
from partner_center.redaction import mask_email
from partner_center.retrying import retried
from partner_center.settings import Settings
from partner_center.token_cache import StoredTokenCache

log = logging.getLogger(__name__)

_PENDING = frozenset({"authorization_pending", "slow_down"})

# A token that ends sooner is fetched anew: MSAL's own limit (msal 1.39 application.py).
_MARGIN = 300

SIGN_IN_LASTS = timedelta(days=90)
"""Of a refresh token since its last use: https://learn.microsoft.com/entra/identity-platform/refresh-tokens"""

WARNED_AHEAD = timedelta(days=14)
"""So long before the end of a sign-in is it told."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token; `account` is the masked user name, `account_id` Entra's own id, `expires_at` in epoch seconds."""

    secret: str = field(repr=False)
    expires_at: float
    account: str
    account_id: str = ""
    tenant_id: str = ""

    @property
    def expires_in(self) -> int:
        """Seconds left."""
        return int(self.expires_at - time.time())


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who is signed in, as the kept cache says: nothing is asked.

    `ends_at` is when it ends unless a run renews a token before; None where the cache does not say.
    """

    account: str
    tenant_id: str
    ends_at: datetime | None

    @property
    def ends_soon(self) -> bool:
        """Whether it ends within 14 days: no run has used it for weeks."""
        return self.ends_at is not None and self.ends_at - datetime.now(UTC) < WARNED_AHEAD


class TokenSource:
    """Gives access tokens from the kept cache and keeps what MSAL renews.

    Args:
        settings: the account's.
        cache: where the tokens are kept.
        handed_in: returns a refresh token that somebody got elsewhere, or None; asked where nobody is signed in.
    """

    def __init__(
        self, settings: Settings, cache: StoredTokenCache, handed_in: Callable[[], str | None] = lambda: None
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._handed_in = handed_in
        self._token: AccessToken | None = None

    def current(self, *, lasting: float = 0) -> AccessToken:
        """Return a token with more than five minutes left, silently renewed where needed.

        Args:
            lasting: seconds that the token should last where they are more; half of its life is the most.

        Raises:
            SignInRequired: a person has to sign in; nothing was sent that could lock the account.
            ApiUnavailable: the login cannot be reached, also after the retries, or the warehouse with its lock.
            ConfigurationError: the login knows no such tenant, app or scope.
        """
        if self._token is None or self._token.expires_in < _MARGIN:
            self._token = self._kept(lasting) or retried(lambda: self._renewed(lasting))
        return self._token

    def renew(self) -> AccessToken:
        """Return a token fresh from the login, for when the API refused the cached one; raises as `current`."""
        refused = self._token.secret if self._token else None
        self._token = None
        self._token = retried(lambda: self._renewed(force=True, refused=refused))
        return self._token

    def adopt(self, refresh_token: str) -> AccessToken:
        """Redeem a refresh token that somebody got elsewhere, and keep what comes; raises as `current`."""
        self._cache.mask(refresh_token)

        def redeem() -> AccessToken:
            with self._cache.alone(or_without=True):
                return self._redeemed(refresh_token)

        self._token = retried(redeem)
        return self._token

    def signed_in(self) -> SignIn | None:
        """Return who is signed in, from the kept cache alone: no call is made; None where nobody is."""
        cache = self._cache.load(import_file=False)
        accounts = self._accounts(cache)
        if not accounts:
            return None
        used = [
            float(str(token.get("last_modification_time") or 0))
            for token in cache.search(TokenCache.CredentialType.REFRESH_TOKEN)
        ]
        last = max(used, default=0.0)
        ends_at = datetime.fromtimestamp(last, UTC) + SIGN_IN_LASTS if last else None
        return SignIn(mask_email(str(accounts[0].get("username", ""))), str(accounts[0].get("realm", "")), ends_at)

    def signs_in_by_itself(self) -> bool:
        """Say whether the next run brings a sign-in with it: a token that was handed in, or an obsolete cache file."""
        return self._cache.can_import() or bool(self._handed_in())

    def sign_out(self) -> None:
        """Forget the kept tokens; raises as `StoredTokenCache.forget`. At Microsoft they stay good until they end."""
        with self._cache.alone(or_without=True):
            self._cache.forget()
        self._token = None

    def reach_login(self) -> None:
        """Ask the login for its discovery document, and for nothing else; raises as `current`, but for sign-ins."""
        session = LoginSession(self._settings)
        call(session, lambda: self._app(session, TokenCache()))

    def keep_claims(self, claims: str | None) -> None:
        """Keep what the API asks of the next sign-in."""
        if claims:
            self._cache.keep_claims(claims)

    def explained(self, err: PartnerCenterError) -> PartnerCenterError:
        """Return the error of a refused fresh token, or a better one where the token itself shows the reason."""
        found = token_claims.problem(self._token.secret, self._settings) if self._token else None
        return err if found is None else refusal(found, {})

    # --- device code

    def start_device_flow(self) -> dict[str, Any]:
        """Return MSAL's device flow: verification_uri, user_code, expires_in, interval; raises as `current`."""
        if self._settings.client_secret:
            raise ConfigurationError(
                "The connection has a client secret, and a confidential app registration has no sign-in by device "
                f"code. {reasons.BY_BROWSER} Or remove the password of the connection, where the app registration "
                "allows public client flows."
            )
        claims = self._cache.claims()

        def start() -> dict[str, Any]:
            session = LoginSession(self._settings)
            flow: dict[str, Any] = call(
                session,
                lambda: self._app(session, TokenCache()).initiate_device_flow([self._scope], claims_challenge=claims),
            )
            if "user_code" not in flow:
                raise_if_busy(flow, session)
                raise refusal(reasons.of_device_flow(flow), flow)
            self._cache.mask(flow["device_code"])
            return {**flow, "claims_challenge": claims}

        return retried(start)

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
            ApiUnavailable: the login cannot be reached; the flow goes on.
        """
        return retried(lambda: self._poll(flow))

    def _poll(self, flow: dict[str, Any]) -> AccessToken | None:
        session, cache = LoginSession(self._settings), SerializableTokenCache()
        app = call(session, lambda: self._app(session, cache))
        claims = flow.get("claims_challenge")
        result = call(
            session,
            lambda: app.acquire_token_by_device_flow(flow, claims_challenge=claims, exit_condition=lambda _: True),
        )
        if str(result.get("error")) in _PENDING and time.time() < flow["expires_at"]:
            return None
        return self._signed_in(result, session, cache, reasons.of_device_flow)

    # --- authorization code with PKCE

    def start_browser_flow(self, redirect_uri: str, *, response_mode: str) -> dict[str, Any]:
        """Return MSAL's authorization code flow: auth_uri for the browser, and state, nonce and PKCE's verifier.

        Args:
            redirect_uri: where the browser comes back to, registered with the app.
            response_mode: query or form_post.

        Raises:
            ApiUnavailable, ConfigurationError: as `current`.
        """
        claims = self._cache.claims()

        def start() -> dict[str, Any]:
            session = LoginSession(self._settings)
            app = call(session, lambda: self._app(session, TokenCache()))
            with warnings.catch_warnings():
                # MSAL recommends form_post. But a browser sends no cookie of SameSite=Lax with the form of another
                # site, and Airflow would not know who comes back.
                warnings.filterwarnings("ignore", "response_mode='form_post'", UserWarning)
                flow: dict[str, Any] = app.initiate_auth_code_flow(
                    [self._scope], redirect_uri=redirect_uri, response_mode=response_mode, claims_challenge=claims
                )
            for secret in ("code_verifier", "nonce"):
                self._cache.mask(flow[secret])
            return flow

        return retried(start)

    def finish_browser_flow(self, flow: Mapping[str, Any], answer: Mapping[str, str]) -> AccessToken:
        """Redeem what the browser brought back, keep the cache, and return the token.

        Args:
            flow: as `start_browser_flow` returned it, to be used once.
            answer: the query or the form that came to the redirect URI.

        Raises:
            SignInRequired: the person declined, or the answer does not belong to the flow.
            ApiUnavailable, ConfigurationError: as `current`.
        """
        if not hmac.compare_digest(str(answer.get("state", "")).encode(), str(flow["state"]).encode()):
            raise refusal("answer_mismatch", {})
        if "code" not in answer and "error" not in answer:
            raise refusal("answer_mismatch", {})
        if code := answer.get("code"):
            self._cache.mask(code)
        session, cache = LoginSession(self._settings), SerializableTokenCache()
        app = call(session, lambda: self._app(session, cache))

        def redeem() -> dict[str, Any]:
            try:
                result: dict[str, Any] = app.acquire_token_by_auth_code_flow(dict(flow), dict(answer))
            except RuntimeError as err:
                if "nonce" not in str(err):
                    raise
                # Without its cause: MSAL says that the id token has another nonce, and quotes both.
                raise refusal("answer_mismatch", {}) from None
            return result

        # A code is good for one try: what may have been redeemed is not sent again.
        return self._signed_in(call(session, redeem), session, cache, reasons.of_browser_flow)

    # --- within

    def _signed_in(
        self,
        result: dict[str, Any],
        session: LoginSession,
        cache: SerializableTokenCache,
        reason_of: Callable[[Mapping[str, Any]], str],
    ) -> AccessToken:
        """Keep what a sign-in brought, in place of what was kept before."""
        if "access_token" not in result:
            raise_if_busy(result, session)
            raise refusal(reason_of(result), result)
        if "refresh_token" not in result:
            raise refusal("no_refresh_token", {})

        def keep() -> None:
            with self._cache.alone(or_without=True):
                self._cache.save(cache)
                self._cache.keep_claims(None)

        # By itself: to ask the login once more would find the code used.
        retried(keep)
        self._token = self._as_token(result, self._account(cache))
        return self._token

    def _kept(self, lasting: float) -> AccessToken | None:
        """Return the kept token where it lasts: then nobody is asked, and no lock is needed."""
        cache = self._cache.load(import_file=False)
        accounts = self._accounts(cache)
        if not accounts and not self.signs_in_by_itself():
            raise refusal("not_signed_in", {})
        return self._usable(cache, accounts[0], lasting) if len({a["home_account_id"] for a in accounts}) == 1 else None

    def _usable(self, cache: SerializableTokenCache, account: Mapping[str, Any], lasting: float) -> AccessToken | None:
        now = time.time()
        query = {
            "home_account_id": account["home_account_id"],
            "client_id": self._settings.client_id,
            "environment": urlsplit(self._settings.authority).hostname,
            # A tenant that is set by its domain has its id in the cache.
            "realm": self._settings.tenant_id if token_claims.is_guid(self._settings.tenant_id) else account["realm"],
        }
        for entry in cache.search(TokenCache.CredentialType.ACCESS_TOKEN, target=[self._scope], query=query):
            expires_at = float(entry["expires_on"])
            half_of_life = (expires_at - float(entry.get("cached_at") or now)) / 2
            ages = float(entry.get("refresh_on") or expires_at) <= now
            if expires_at - now >= max(_MARGIN, min(lasting, half_of_life)) and not ages:
                return self._as_token({"access_token": entry["secret"], "expires_in": expires_at - now}, account)
        return None

    def _renewed(self, lasting: float = 0, *, force: bool = False, refused: str | None = None) -> AccessToken:
        """Be the only one to renew, and see first whether somebody else has just done it.

        Args:
            lasting: as `current`.
            force: the kept token is not good enough, unless it is another one than `refused`.
            refused: the token that the API did not accept.
        """
        with self._cache.alone():
            cache = self._cache.load()
            if not self._accounts(cache) and (handed_in := self._handed_in()):
                self._cache.mask(handed_in)
                log.info("Nobody is signed in: redeeming the refresh token that was handed in.")
                return self._redeemed(handed_in)
            account = self._account(cache)
            kept = self._usable(cache, account, lasting)
            if kept is not None and (not force or (refused is not None and kept.secret != refused)):
                return kept
            # MSAL would give a token back that does not last long enough for us.
            return self._silent(cache, account, force=force or self._usable(cache, account, 0) is not None)

    def _silent(self, cache: SerializableTokenCache, account: dict[str, Any], *, force: bool) -> AccessToken:
        # A new app for each attempt: MSAL replays a refusal from memory for a minute (throttled_http_client.py).
        session = LoginSession(self._settings)
        app = call(session, lambda: self._app(session, cache))
        result = call(session, lambda: app.acquire_token_silent_with_error([self._scope], account, force_refresh=force))
        try:
            check(result, session)
        except SignInRequired as err:
            self._forget_access_tokens(cache)
            self.keep_claims(err.claims)
            raise
        # By itself: where the login revokes what was used, to renew once more would find it revoked.
        retried(lambda: self._cache.save(cache))
        return self._as_token(result, account)

    def _redeemed(self, refresh_token: str) -> AccessToken:
        session, cache = LoginSession(self._settings), SerializableTokenCache()
        app = call(session, lambda: self._app(session, cache))
        result = call(session, lambda: app.acquire_token_by_refresh_token(refresh_token, [self._scope]))
        check(result, session)
        if not list(cache.search(TokenCache.CredentialType.REFRESH_TOKEN)):
            raise refusal("no_refresh_token", {})
        retried(lambda: self._cache.save(cache))
        self._cache.keep_claims(None)
        return self._as_token(result, self._account(cache))

    @property
    def _scope(self) -> str:
        return self._settings.scope

    def _app(self, session: LoginSession, cache: TokenCache) -> PublicClientApplication | ConfidentialClientApplication:
        options = {
            "authority": self._settings.authority,
            "instance_discovery": self._settings.instance_discovery,
            "http_client": session,
            "token_cache": cache,
        }
        if self._settings.client_secret:
            return ConfidentialClientApplication(
                self._settings.client_id, client_credential=self._settings.client_secret, **options
            )
        return PublicClientApplication(self._settings.client_id, **options)

    def _accounts(self, cache: SerializableTokenCache) -> list[dict[str, Any]]:
        """Return the signed-in accounts: those of the tenant where there are any."""
        accounts = list(cache.search(TokenCache.CredentialType.ACCOUNT))
        return [a for a in accounts if a.get("realm") == self._settings.tenant_id] or accounts

    def _account(self, cache: SerializableTokenCache) -> dict[str, Any]:
        ours = self._accounts(cache)
        if not ours:
            raise refusal("not_signed_in", {})
        if len({a["home_account_id"] for a in ours}) > 1:
            raise ConfigurationError(
                f"{len(ours)} accounts are signed in and it is unclear which one to use. Delete the Variable "
                f"partner_center_token_cache. {reasons.HOW_TO_SIGN_IN}"
            )
        return ours[0]

    def _forget_access_tokens(self, cache: SerializableTokenCache) -> None:
        """Drop cached access tokens after a refused renewal, so that the next run does not trust them either."""
        for token in list(cache.search(TokenCache.CredentialType.ACCESS_TOKEN)):
            cache.remove_at(token)
        self._cache.save(cache)

    def _as_token(self, result: Mapping[str, Any], account: Mapping[str, Any]) -> AccessToken:
        return AccessToken(
            secret=result["access_token"],
            expires_at=time.time() + int(result.get("expires_in", 0)),
            account=mask_email(str(account.get("username", ""))),
            account_id=str(account.get("home_account_id", "")),
            tenant_id=str(account.get("realm", "")),
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
