"""What the login has handed out: device codes, authorization codes, refresh tokens and access tokens."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.state import State

USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ23456789"


@dataclass
class DeviceCode:
    """A sign-in that waits for a person; status is pending, approved, denied or redeemed."""

    user_code: str
    scope: str
    expires_at: float
    status: str = "pending"
    polled_at: float | None = None


@dataclass
class AuthorizationCode:
    """A code of the browser sign-in, to be redeemed once with its PKCE verifier."""

    redirect_uri: str
    scope: str
    challenge: str
    nonce: str | None
    expires_at: float


@dataclass
class RefreshToken:
    """A refresh token; `superseded` once it was answered with a newer one."""

    scope: str
    expires_at: float
    superseded: bool = False
    revoked: bool = False


@dataclass
class AccessToken:
    """An access token, with what the API asks about it."""

    audience: str
    expires_at: float
    mfa: bool
    refresh_at: float | None
    revoked: bool = False


def encode(value: bytes) -> str:
    """Encode base64url without padding, as tokens are."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def jwt(claims: dict[str, Any]) -> str:
    """Make a token of JWT shape; nobody here verifies the signature."""
    header = {"typ": "JWT", "alg": "RS256", "kid": "simulator"}
    parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, claims))
    return ".".join([*map(encode, parts), encode(secrets.token_bytes(32))])


class Tokens:
    """The issuer's memory."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.device: dict[str, DeviceCode] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.access: dict[str, AccessToken] = {}
        self.calls: Counter[str] = Counter()
        self.latest: AccessToken | None = None

    def start_device(self, scope: str) -> tuple[str, DeviceCode]:
        """Open a device sign-in and give its secret code."""
        settings, now = self._state.settings, self._state.clock.now()
        user_code = "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(8))
        flow = DeviceCode(user_code, scope, now + settings.device_expires_in)
        code = secrets.token_urlsafe(48)
        self.device[code] = flow
        if settings.auto_approve and not settings.conditional_access_block:
            flow.status = "approved"
        return code, flow

    def decide(self, user_code: str | None, status: str) -> int:
        """Approve or deny one waiting sign-in, or all of them; say how many it were."""
        if status == "approved" and self._state.settings.conditional_access_block:
            return 0
        now = self._state.clock.now()
        waiting = [
            flow
            for flow in self.device.values()
            if flow.status == "pending"
            and flow.expires_at > now
            and (user_code is None or flow.user_code == user_code.strip().upper().replace("-", ""))
        ]
        for flow in waiting:
            flow.status = status
        return len(waiting)

    def revoke(self, what: str) -> int:
        """Revoke access tokens, refresh tokens or all; say how many."""
        issued: list[AccessToken | RefreshToken] = []
        if what in ("access", "all"):
            issued += self.access.values()
        if what in ("refresh", "all"):
            issued += self.refresh.values()
        for token in issued:
            token.revoked = True
        return len(issued)

    def answer(self, scope: str, authority: str, *, nonce: str | None = None, old: str | None = None) -> dict[str, Any]:
        """Issue what a successful token request is answered with; `old` is the refresh token it came with."""
        settings = self._state.settings
        names = scope.split()
        audience = resource(scope) or self._state.audience
        granted = [f"{audience}/user_impersonation"]
        if settings.scope_echo:
            granted += [name for name in names if name.endswith("/.default")]
        body: dict[str, Any] = {
            "token_type": "Bearer",
            "scope": " ".join(granted),
            "expires_in": settings.expires_in,
            "ext_expires_in": settings.expires_in,
            "access_token": self.mint(audience),
        }
        if settings.refresh_in is not None:
            body["refresh_in"] = settings.refresh_in
        if settings.refresh_token and "offline_access" in names:
            body["refresh_token"] = self._rotate(scope, old)
        if "openid" in names:
            body["id_token"] = jwt(self._id_claims(authority, nonce))
        if settings.client_info:
            body["client_info"] = self.account()
        return body

    def account(self) -> str:
        """Give the `client_info` of the account that signs in."""
        return encode(json.dumps({"uid": self._state.settings.oid, "utid": self._state.tenant}).encode())

    def mint(self, audience: str) -> str:
        """Issue an access token."""
        settings, now = self._state.settings, self._state.clock.now()
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self._state.tenant}/",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + settings.expires_in),
            "appid": self._state.client_id,
            "tid": self._state.tenant,
            "oid": settings.oid,
            "upn": settings.upn,
            "scp": "user_impersonation",
            "amr": ["pwd", "mfa"] if settings.mfa_in_token else ["pwd"],
            "uti": uuid.uuid4().hex,
        }
        token = jwt(claims)
        refresh_at = None if settings.refresh_in is None else now + settings.refresh_in
        self.latest = AccessToken(audience, now + settings.expires_in, settings.mfa_in_token, refresh_at)
        self.access[token] = self.latest
        return token

    def _rotate(self, scope: str, old: str | None) -> str:
        settings = self._state.settings
        if old is not None and settings.rotation == "no-rotate":
            return old
        if old is not None:
            self.refresh[old].superseded = True
            self.refresh[old].revoked = settings.rotation == "rotate-and-revoke-old"
        new = "0.A" + secrets.token_urlsafe(60)
        self.refresh[new] = RefreshToken(scope, self._state.clock.now() + settings.refresh_expires_in)
        return new

    def _id_claims(self, authority: str, nonce: str | None) -> dict[str, Any]:
        settings, now = self._state.settings, int(self._state.clock.now())
        claims = {
            "aud": self._state.client_id,
            "iss": f"{authority}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "sub": encode(settings.oid.encode()),
            "oid": settings.oid,
            "tid": self._state.tenant,
            "preferred_username": settings.upn,
            "name": "Sync Account",
            "ver": "2.0",
        }
        return claims if nonce is None else claims | {"nonce": nonce}


def resource(scope: str) -> str | None:
    """Give the resource that a scope asks for; None if it names none by `/.default` or a permission."""
    for name in scope.split():
        if name.startswith(("https://", "api://")) and "/" in name.split("://", 1)[1]:
            return name.rsplit("/", 1)[0]
    return None
