"""The Entra login as MSAL reaches it: the transport, and what its refusals mean for a person."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import requests
from msal.exceptions import MsalServiceError

from partner_center.errors import HOW_TO_SIGN_IN, ApiUnavailable, ConfigurationError, SignInRequired
from partner_center.redaction import redact
from partner_center.retrying import retry_after

LOGIN_TIMEOUT = 15.0
"""Seconds for one call to the login; MSAL itself would wait forever."""

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_REASON_BY_CODE = {
    700082: "refresh_expired", 70008: "refresh_expired", 70043: "refresh_expired",
    50173: "refresh_revoked",
    50076: "mfa_required", 50079: "mfa_required", 50074: "mfa_required",
    53003: "conditional_access", 53000: "conditional_access", 530003: "conditional_access",
    65001: "consent_required", 90094: "consent_required",
    50057: "account_refused", 50034: "account_refused", 50105: "account_refused",
}  # fmt: skip
_REASON_BY_SUBERROR = {
    "bad_token": "refresh_revoked",
    "token_expired": "refresh_expired",
    "user_password_expired": "refresh_revoked",
    "consent_required": "consent_required",
    "basic_action": "mfa_required",
    "additional_action": "mfa_required",
    "protection_policy_required": "conditional_access",
    "device_authentication_failed": "conditional_access",
}
_MEANING = {
    "not_signed_in": "Nobody is signed in to Partner Center",
    "refresh_expired": "The sign-in has expired",
    "refresh_revoked": "The sign-in was revoked, for example by a password change or an administrator",
    "mfa_required": "The sign-in lacks multi-factor authentication, which Partner Center demands",
    "conditional_access": "A Conditional Access policy refuses the silent refresh",
    "consent_required": "Consent to the app registration is missing",
    "account_refused": "The account is disabled, unknown or not assigned to the app registration",
    "token_rejected": "Partner Center does not accept the token, not even a fresh one",
    "sign_in_required": "The login refuses to renew the token",
}
_TRANSIENT_ERRORS = frozenset({"temporarily_unavailable", "server_error"})
_TRANSIENT_CODES = frozenset({50196, 90033, 90024})
_CONFIGURATION_ERRORS = frozenset({"unauthorized_client", "invalid_client", "invalid_request", "invalid_scope"})


class LoginSession(requests.Session):
    """MSAL's transport: always with a timeout, and with our CA bundle also where REQUESTS_CA_BUNDLE is set.

    (requests lets that variable win over ``session.verify``, so the bundle travels with each call.)
    """

    def __init__(self, verify: bool | str) -> None:
        super().__init__()
        self._ca = verify
        self.last: requests.Response | None = None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send with the timeout, remember the answer."""
        self.last = None
        kwargs.setdefault("timeout", LOGIN_TIMEOUT)
        if isinstance(self._ca, str):
            kwargs["verify"] = self._ca
        self.last = super().request(*args, **kwargs)
        return self.last


def call(session: LoginSession, action: Callable[[], Any]) -> Any:
    """Run one MSAL call and turn its ways of failing into our errors.

    Raises:
        ApiUnavailable: no answer, 429, 5xx, or an answer that is not what a login sends.
        ConfigurationError: the tenant or the authority is wrong, or the certificate is not trusted.
    """
    try:
        return action()
    except requests.RequestException as err:
        raise _failed(session, err) from err
    except OSError as err:
        raise ConfigurationError(
            "The CA bundle could not be read, so nothing was sent. Check the path in verify of the connection."
        ) from err
    # What MSAL comes to where an answer is an error page, no JSON, or JSON of another shape.
    except (MsalServiceError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as err:
        raise _failed(session, err) from err


def _failed(session: LoginSession, err: Exception) -> ApiUnavailable | ConfigurationError:
    if isinstance(err, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(err):
        return ConfigurationError(
            "The login's certificate is not trusted. Set verify in the connection to the CA bundle that signs it."
        )
    status = session.last.status_code if session.last is not None else None
    if status is None or status < 400 or status in {408, 429} or status >= 500:
        return _unavailable(session, type(err).__name__)
    return ConfigurationError(
        f"The login refused its own discovery document with HTTP {status}: the tenant or the authority is wrong. "
        "Check tenant_id and authority in the connection."
    )


def check(result: dict[str, Any] | None, session: LoginSession, wanted: str = "access_token") -> None:
    """Raise for an MSAL result that does not hold what was wanted; None means that nothing is cached.

    Raises:
        SignInRequired: a person has to sign in.
        ApiUnavailable: the login says that it is busy.
        ConfigurationError: the login does not accept the app registration's request.
    """
    if result is None:
        # MSAL's None: nothing is cached, or the login was asked and its answer was empty.
        if session.last is not None and session.last.request.method == "POST":
            raise _unavailable(session, "an empty answer")
        raise sign_in_required("not_signed_in")
    if wanted in result:
        return
    raise_if_busy(result, session)
    if str(result["error"]) in _CONFIGURATION_ERRORS:
        raise ConfigurationError(
            f"The login refuses the app registration's request. {detail(result)} Check client_id, tenant_id and scope "
            "in the connection, and that the app registration allows public client flows."
        )
    raise sign_in_required(_reason(result), detail(result))


def raise_if_busy(result: dict[str, Any], session: LoginSession) -> None:
    """Raise for a result without a token that says nothing about the person: try again later.

    Raises:
        ApiUnavailable: the login is busy, or its answer names neither a token nor an error.
    """
    error = str(result.get("error", ""))
    status = session.last.status_code if session.last is not None else None
    if not error or error in _TRANSIENT_ERRORS or set(_codes(result)) & _TRANSIENT_CODES or status == 429:
        raise _unavailable(session, error or "an answer without token or error")


def _unavailable(session: LoginSession, what: str) -> ApiUnavailable:
    answer = f"HTTP {session.last.status_code}" if session.last is not None else "no answer"
    return ApiUnavailable(
        f"The Microsoft login is unavailable ({answer}, {what}): no token came from it. It is tried again by "
        "itself; if it lasts, check the network, the proxy and the authority in the connection.",
        retry_after(session.last.headers.get("Retry-After")) if session.last is not None else None,
    )


def sign_in_required(reason: str, detail: str = "") -> SignInRequired:
    """Return the error for a reason: what it means, what the login says, how to sign in."""
    return SignInRequired(reason, " ".join(part for part in (f"{_MEANING[reason]}.", detail, HOW_TO_SIGN_IN) if part))


def _codes(result: dict[str, Any]) -> list[int]:
    """Return the AADSTS numbers, which stand in a list or only in the text."""
    listed = [int(code) for code in result.get("error_codes") or [] if str(code).isdigit()]
    return listed or [int(code) for code in re.findall(r"AADSTS(\d+)", str(result.get("error_description", "")))]


def _reason(result: dict[str, Any]) -> str:
    for code in _codes(result):
        if code in _REASON_BY_CODE:
            return _REASON_BY_CODE[code]
    if result.get("error") == "consent_required":
        return "consent_required"
    return _REASON_BY_SUBERROR.get(str(result.get("suberror", "")), "sign_in_required")


def flow_reason(result: dict[str, Any]) -> str:
    """Return the reason code for the end of a device flow without a token."""
    by_error = {
        "authorization_pending": "code_expired",
        "expired_token": "code_expired",
        "bad_verification_code": "code_expired",
        "authorization_declined": "declined",
        "access_denied": "declined",
    }
    return by_error.get(str(result.get("error", "")), _reason(result))


def detail(result: dict[str, Any]) -> str:
    """Microsoft's own first sentence (it starts with the AADSTS number), without trace ids or addresses."""
    description = str(result.get("error_description") or result.get("error") or "").splitlines()
    first = description[0].split(" Trace ID:")[0].strip() if description else ""
    return f"The login says: {redact(first)[:300].rstrip('.')}." if first else ""
