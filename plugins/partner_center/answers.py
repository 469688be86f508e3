"""What the API's answers mean: which error follows from a status and a body.

https://learn.microsoft.com/en-us/partner-center/developer/referrals-error-codes
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import requests

from partner_center.errors import (
    AccessDenied,
    ApiUnavailable,
    ConfigurationError,
    RequestRefused,
    SignInRequired,
)
from partner_center.reasons import REASONS
from partner_center.retrying import retry_after

_REQUEST_ID_HEADERS = ("request-id", "ms-requestid", "x-ms-request-id", "ms-correlationid")
_TRANSIENT = frozenset({408, 423, 425, 429})
_MFA_CODE = "900421"
# https://learn.microsoft.com/entra/identity-platform/claims-challenge; the misspelling is Partner Center's own.
_CLAIMS = re.compile(r'claims="([A-Za-z0-9+/=_-]+)"')
_CLAIMS_CODES = frozenset({"insufficent_claims", "insufficient_claims"})


def raise_for(response: requests.Response) -> None:
    """Return for a 200, raise for everything else.

    Raises:
        SignInRequired, AccessDenied, ApiUnavailable, RequestRefused: as the names say.
    """
    status = response.status_code
    if status == 200:
        return
    where = f"(HTTP {status}, {request_ids(response)})"
    if status == 401:
        raise _unauthorized(response, where)
    if status == 403:
        raise _forbidden(response, where)
    if status in _TRANSIENT or status >= 500:
        raise ApiUnavailable(
            f"The Partner Center API is busy or down {where}. It is tried again by itself; nothing is lost.",
            retry_after(response.headers.get("Retry-After")),
        )
    if status < 400:
        raise ApiUnavailable(f"The Partner Center API gave an answer that a listing never gives {where}.")
    codes = ", ".join(_codes(response)) or "no code"
    raise RequestRefused(
        status,
        f"The Partner Center API refused the request {where}: {codes}. A retry would be refused again.",
    )


def _forbidden(response: requests.Response, where: str) -> AccessDenied:
    """Tell a missing role from a policy that asks for a stronger sign-in."""
    challenge = _CLAIMS.search(response.headers.get("WWW-Authenticate", ""))
    asked = challenge is not None or bool({code.lower() for code in _codes(response)} & _CLAIMS_CODES)
    reason = "claims_challenge" if asked else "role_missing"
    claims = _decoded(challenge.group(1)) if challenge else None
    answered = f"It answered {where}."
    if asked:
        answered += " Beside that, the account needs the role Referrals Admin or Referrals User."
    return AccessDenied(reason, REASONS[reason].tell(answered), claims)


def _decoded(claims: str) -> str | None:
    """Return a challenge's claims as JSON, or None where they are none: they came from outside."""
    try:
        text = base64.b64decode(claims + "=" * (-len(claims) % 4)).decode()
        return text if isinstance(json.loads(text), dict) else None
    except ValueError:
        return None


def _unauthorized(response: requests.Response, where: str) -> SignInRequired:
    reason = "mfa_required" if needs_mfa(response) else "token_rejected"
    return SignInRequired(reason, REASONS[reason].tell(f"It answered {where}."))


def needs_mfa(response: requests.Response) -> bool:
    """Say whether a 401 asks for multi-factor authentication, in any of the bodies that were seen."""
    return response.status_code == 401 and (_MFA_CODE in _codes(response) or _MFA_CODE in response.text)


def _codes(response: requests.Response) -> list[str]:
    """Return the error codes of the body, the outermost first; none for HTML or an empty body."""
    try:
        node: Any = json.loads(response.content)
    except ValueError:
        return []
    found = []
    node = node.get("error", node) if isinstance(node, dict) else None
    while isinstance(node, dict):
        if node.get("code") is not None:
            found.append(str(node["code"])[:80])
        node = node.get("innerError") or node.get("innererror")
    return found


def request_ids(response: requests.Response) -> str:
    """Return our request id and the service's, for a log or a report to Microsoft."""
    ours = str(response.request.headers["client-request-id"])
    theirs = next((response.headers[name] for name in _REQUEST_ID_HEADERS if name in response.headers), "none")
    return f"client-request-id {ours}, request-id {theirs}"


def tls_error(err: requests.exceptions.SSLError) -> ConfigurationError | ApiUnavailable:
    """Return the error for a TLS failure: a certificate that nobody here trusts stays untrusted."""
    if "CERTIFICATE_VERIFY_FAILED" in str(err):
        return ConfigurationError(REASONS["certificate_untrusted"].tell("Nothing was sent."), "certificate_untrusted")
    return ApiUnavailable("The TLS connection to the Partner Center API broke. It is tried again by itself.")
