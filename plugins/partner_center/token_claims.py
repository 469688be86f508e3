"""What an access token says of itself, for diagnosis only: to us it is opaque, and its signature is not checked.

https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import urlsplit

from partner_center.settings import Settings

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def read(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, or nothing where the token is of another kind."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def is_guid(text: str) -> bool:
    """Say whether a text is an id as Entra gives them."""
    return _GUID.fullmatch(text) is not None


def has_mfa(claims: dict[str, Any]) -> bool | None:
    """Say whether the person used multi-factor authentication; None where the token does not tell."""
    methods = claims.get("amr")
    return "mfa" in methods if isinstance(methods, list) else None


def problem(token: str, settings: Settings) -> str | None:
    """Return the reason why an API may refuse this token, as far as the token shows it, or None."""
    claims = read(token)
    audience, tenant = str(claims.get("aud", "")), str(claims.get("tid", ""))
    # An audience may also be the id of the API's own registration, which proves nothing.
    if "://" in audience and urlsplit(audience).hostname != urlsplit(settings.resource).hostname:
        return "wrong_audience"
    if is_guid(tenant) and is_guid(settings.tenant_id) and tenant.lower() != settings.tenant_id.lower():
        return "wrong_tenant"
    return "mfa_required" if has_mfa(claims) is False else None
