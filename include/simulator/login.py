"""Entra as MSAL 1.39 calls it: discovery, device code, authorization code with PKCE, refresh."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

from simulator.errors import refuse_login
from simulator.tokens import AuthorizationCode, resource

if TYPE_CHECKING:
    from simulator.recorder import Exchange
    from simulator.state import State

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_NAMES = {DEVICE_GRANT: "device_code"}
CODE_LIFETIME = 600
Form = dict[str, str]


class Login:
    """The login over the state; every method is called with the state's lock held."""

    def __init__(self, state: State, url: str) -> None:
        self._state = state
        self._url = url
        self.authority = state.authority

    def configuration(self, tenant: str) -> dict[str, Any]:
        """Give the OpenID configuration of a tenant."""
        self._check_tenant(tenant)
        return {
            "issuer": f"{self.authority}/v2.0",
            "authorization_endpoint": f"{self.authority}/oauth2/v2.0/authorize",
            "token_endpoint": f"{self.authority}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{self.authority}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{self.authority}/discovery/v2.0/keys",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "scopes_supported": ["openid", "profile", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def instances(self, api_version: str | None) -> dict[str, Any]:
        """Answer instance discovery: this host, and no alias of it."""
        host = urlsplit(self._url).netloc
        answer: dict[str, Any] = {
            "tenant_discovery_endpoint": f"{self.authority}/v2.0/.well-known/openid-configuration",
        }
        if api_version == "1.1":
            answer["metadata"] = [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}]
        return answer

    def start_device(self, tenant: str, form: Form) -> dict[str, Any]:
        """Open a device sign-in."""
        self._check_tenant(tenant)
        self._check_client(form)
        settings = self._state.settings
        if not settings.public_client:
            refuse_login("invalid_client", 7000218, "The request body must contain client_secret.", status=401)
        code, flow = self._state.tokens.start_device(self._check_scope(form))
        uri = f"{self._url}/device"
        return {
            "device_code": code,
            "user_code": flow.user_code,
            "verification_uri": uri,
            "expires_in": settings.device_expires_in,
            "interval": settings.interval,
            "message": f"To sign in, open {uri} and enter the code {flow.user_code} to authenticate.",
        }

    def token(self, tenant: str, form: Form, exchange: Exchange) -> dict[str, Any]:
        """Answer the token endpoint; a client secret stands in the form, wherever the client put it."""
        self._check_tenant(tenant)
        self._check_client(form)
        self._check_secret(form)
        grant = form.get("grant_type", "")
        self._state.tokens.calls[grant_name(grant)] += 1
        if grant == DEVICE_GRANT:
            return self._redeem_device(form)
        if grant == "refresh_token":
            return self._redeem_refresh(form, exchange)
        if grant != "authorization_code":
            refuse_login("unsupported_grant_type", 70003, f"The grant {grant!r} is not supported.")
        return self._redeem_code(form)

    def check_authorize(self, tenant: str, query: Form) -> None:
        """Check what a browser brings to the authorize endpoint."""
        self._check_tenant(tenant)
        self._check_client(query)
        self._check_scope(query)
        redirect = urlsplit(query.get("redirect_uri", ""))
        loopback = redirect.scheme == "http" and redirect.hostname in ("localhost", "127.0.0.1")
        if redirect.scheme != "https" and not loopback:
            refuse_login("refuse_request", 50011, "The redirect URI is not registered.")
        if query.get("response_type") != "code":
            refuse_login("unsupported_response_type", 70005, "Only the response type code is enabled.")
        if not query.get("code_challenge") or query.get("code_challenge_method") != "S256":
            refuse_login("refuse_request", 9002325, "Proof Key for Code Exchange is required.")

    def decide_authorize(self, query: Form, *, approved: bool) -> dict[str, str]:
        """Give what goes back to the redirect URI once the person has decided."""
        answer = {"state": query["state"]} if "state" in query else {}
        if not approved:
            return answer | {"error": "access_denied", "error_description": "AADSTS65004: The user declined."}
        if self._state.settings.conditional_access_block:
            text = "AADSTS53003: Access has been blocked by Conditional Access policies."
            return answer | {"error": "access_denied", "error_description": text}
        code = "1.A" + secrets.token_urlsafe(48)
        expires_at = self._state.clock.now() + CODE_LIFETIME
        self._state.tokens.codes[code] = AuthorizationCode(
            query["redirect_uri"],
            query.get("scope", ""),
            query["code_challenge"],
            query.get("nonce"),
            expires_at,
        )
        return answer | {"code": code, "client_info": self._state.tokens.account()}

    def _redeem_device(self, form: Form) -> dict[str, Any]:
        flow = self._state.tokens.device.get(form.get("device_code", ""))
        now = self._state.clock.now()
        if flow is None or flow.status == "redeemed":
            refuse_login("bad_verification_code", 70018, "The device code is not known.")
        if flow.expires_at <= now:
            refuse_login("expired_token", 70020, "The device code has expired.")
        if flow.status == "denied":
            refuse_login("authorization_declined", 70000, "The user declined the sign-in.")
        last, flow.polled_at = flow.polled_at, now
        settings = self._state.settings
        # A tenth of leeway: the client's clock starts when the answer arrives, ours when it leaves.
        if settings.enforce_interval and last is not None and now - last < 0.9 * settings.interval:
            refuse_login("slow_down", None, "The client polls faster than the interval.")
        if flow.status == "pending":
            refuse_login("authorization_pending", 70016, "OAuth 2.0 device flow: the user has not finished.")
        flow.status = "redeemed"
        return self._state.tokens.answer(flow.scope, self.authority)

    def _redeem_refresh(self, form: Form, exchange: Exchange) -> dict[str, Any]:
        tokens = self._state.tokens
        given = form.get("refresh_token", "")
        known, latest = tokens.refresh.get(given), tokens.latest
        expires_at = latest.expires_at if latest and not latest.revoked else None
        self._state.journal.refreshed(exchange, expires_at, latest.refresh_at if latest else None)
        if known is None:
            refuse_login("invalid_grant", 9002313, "The refresh token is malformed.", suberror="bad_token")
        if known.superseded:
            self._state.journal.violation("old_refresh_token", "A rotated refresh token was used again.", exchange)
        if known.revoked:
            refuse_login("invalid_grant", 50173, "The grant was revoked.", suberror="bad_token")
        if known.expires_at <= self._state.clock.now():
            text = "The refresh token has expired due to inactivity."
            refuse_login("invalid_grant", 700082, text, suberror="token_expired")
        scope = self._check_scope(form) if form.get("scope") else known.scope
        return tokens.answer(scope, self.authority, old=given)

    def _redeem_code(self, form: Form) -> dict[str, Any]:
        # A code works once, even for somebody who fails the checks below.
        code = self._state.tokens.codes.pop(form.get("code", ""), None)
        if code is None or code.expires_at <= self._state.clock.now():
            refuse_login("invalid_grant", 70008, "The authorization code has expired or was used.")
        if form.get("redirect_uri") != code.redirect_uri:
            refuse_login("invalid_grant", 500112, "The redirect URI is not the one of the code.")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not hmac.compare_digest(challenge, code.challenge):
            refuse_login("invalid_grant", 50148, "The code verifier does not match the code challenge.")
        nonce = "another" if self._state.settings.wrong_nonce else code.nonce
        return self._state.tokens.answer(code.scope, self.authority, nonce=nonce)

    def _check_tenant(self, tenant: str) -> None:
        if tenant != self._state.tenant:
            refuse_login("refuse_request", 90002, f"Tenant '{tenant}' not found.")

    def _check_client(self, form: Form) -> None:
        client = form.get("client_id")
        if client != self._state.client_id:
            text = f"Application with identifier '{client}' was not found in the directory."
            refuse_login("unauthorized_client", 700016, text)

    def _check_secret(self, form: Form) -> None:
        wanted, given = self._state.settings.client_secret, form.get("client_secret")
        if not wanted:
            return
        if not given:
            text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
            refuse_login("invalid_client", 7000218, text, status=401)
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            refuse_login("invalid_client", 7000215, "Invalid client secret provided.", status=401)

    @staticmethod
    def _check_scope(form: Form) -> str:
        scope = form.get("scope", "")
        if resource(scope) is None:
            refuse_login("invalid_scope", 70011, f"The scope '{scope}' names no resource.")
        return scope


def basic_credentials(header: str) -> Form:
    """Give client id and secret of an Authorization header as the fields of a form (RFC 6749, 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return {}
    client, _, secret = base64.b64decode(encoded).decode().partition(":")
    return {"client_id": unquote_plus(client), "client_secret": unquote_plus(secret)}


def grant_name(grant: str) -> str:
    """Give the short name of a grant type, as faults and counts use it."""
    return GRANT_NAMES.get(grant, grant or "none")
