"""The Entra login as MSAL reaches it: the transport, and what its refusals mean for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import requests
from msal.exceptions import MsalServiceError

from partner_center import reasons
from partner_center.errors import ApiUnavailable, ConfigurationError, PartnerCenterError, SignInRequired
from partner_center.redaction import redact
from partner_center.retrying import retry_after
from partner_center.settings import Settings

LOGIN_TIMEOUT = 15.0
"""Seconds for one call to the login; MSAL itself would wait forever."""

_TRANSIENT_ERRORS = frozenset({"temporarily_unavailable", "server_error"})
_TRANSIENT_CODES = frozenset({50196, 90033, 90024})


class LoginSession(requests.Session):
    """MSAL's transport: always with a timeout, and with the account's CA bundle and proxies.

    (requests lets REQUESTS_CA_BUNDLE and HTTPS_PROXY win over what a session has, so ours travel with each call.)
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._ca = settings.verify
        self._proxies = settings.proxies
        self.trust_env = settings.trust_env
        self.last: requests.Response | None = None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send with the timeout, remember the answer."""
        self.last = None
        kwargs.setdefault("timeout", LOGIN_TIMEOUT)
        if isinstance(self._ca, str):
            kwargs["verify"] = self._ca
        if self._proxies:
            kwargs["proxies"] = dict(self._proxies)
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
        return ConfigurationError(reasons.REASONS["certificate_untrusted"].tell(), "certificate_untrusted")
    status = session.last.status_code if session.last is not None else None
    if status is None or status < 400 or status in {408, 429} or status >= 500:
        return _unavailable(session, type(err).__name__)
    refused = f"The login refused its own discovery document with HTTP {status}: check authority, too."
    return ConfigurationError(reasons.REASONS["wrong_tenant"].tell(refused), "wrong_tenant")


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
        raise refusal("not_signed_in", {})
    if wanted in result:
        return
    raise_if_busy(result, session)
    raise refusal(reasons.of_login(result), result)


def raise_if_busy(result: dict[str, Any], session: LoginSession) -> None:
    """Raise for a result without a token that says nothing about the person: try again later.

    Raises:
        ApiUnavailable: the login is busy, or its answer names neither a token nor an error.
    """
    error = str(result.get("error", ""))
    status = session.last.status_code if session.last is not None else None
    if not error or error in _TRANSIENT_ERRORS or set(reasons.numbers(result)) & _TRANSIENT_CODES or status == 429:
        raise _unavailable(session, error or "an answer without token or error")


def _unavailable(session: LoginSession, what: str) -> ApiUnavailable:
    answer = f"HTTP {session.last.status_code}" if session.last is not None else "no answer"
    return ApiUnavailable(
        reasons.REASONS["login_unreachable"].tell(f"It was: {answer}, {what}."),
        retry_after(session.last.headers.get("Retry-After")) if session.last is not None else None,
        "login_unreachable",
    )


def refusal(reason: str, result: Mapping[str, Any]) -> PartnerCenterError:
    """Return the error for a reason: what it means, what the login says, what to do.

    Args:
        reason: one of the codes of `reasons.py`.
        result: MSAL's; its claims, if any, are what the next sign-in has to bring.
    """
    text = reasons.REASONS[reason].tell(detail(result))
    if reason in reasons.CONFIGURATION:
        return ConfigurationError(text, reason)
    claims = result.get("claims")
    return SignInRequired(reason, text, str(claims) if claims else None)


def detail(result: Mapping[str, Any]) -> str:
    """Microsoft's own first sentence (it starts with the AADSTS number), without trace ids or addresses."""
    description = str(result.get("error_description") or result.get("error") or "").splitlines()
    first = description[0].split(" Trace ID:")[0].strip() if description else ""
    return f"The login says: {redact(first)[:300].rstrip('.')}." if first else ""
