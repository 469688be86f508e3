"""Every refusal of the login that partner_center_api.md names (10.3 and 10.5), and the one reason that each ends in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from partner_center.reasons import CONFIGURATION, ENTRA_ADMIN, OPERATOR, YOU

PERSON = "uwe.lang@contoso.com"
TRACE = "0b5e55ed-0000-4000-8000-00000000feed"
# What a login may put into its text, and what must not be shown: a person's address, and ids of one request.
TEXT = f"Refused for {PERSON}, the text says. Trace ID: {TRACE} Correlation ID: {TRACE} Timestamp: 2026-11-25 10:00:00Z"


@dataclass(frozen=True)
class Refusal:
    """An answer of the login, the reason that it ends in, and who can end that."""

    error: str
    number: int | None
    suberror: str | None
    reason: str
    who: str

    @property
    def id(self) -> str:
        return " ".join(str(part) for part in (self.error, self.number, self.suberror) if part)

    @property
    def is_setting(self) -> bool:
        """Say whether no sign-in can end it: then a run fails where it would be skipped."""
        return self.reason in CONFIGURATION

    @property
    def passes(self) -> bool:
        """Say whether it passes by itself."""
        return self.reason == "login_unreachable"

    def fault(self, **where: Any) -> dict[str, Any]:
        """Return the simulator's fault."""
        answer = {"error": self.error, "code": self.number, "suberror": self.suberror, "text": TEXT}
        return {"kind": "oauth-error", **where, **answer}


SETTINGS = [
    Refusal("unauthorized_client", 700016, None, "app_unknown", OPERATOR),
    Refusal("invalid_client", 7000218, None, "public_client_disabled", ENTRA_ADMIN),
    Refusal("invalid_scope", 70011, None, "wrong_scope", OPERATOR),
    Refusal("invalid_request", 90002, None, "wrong_tenant", OPERATOR),
    Refusal("invalid_request", None, None, "request_refused", OPERATOR),
]
PASSING = [
    Refusal("temporarily_unavailable", 90033, None, "login_unreachable", OPERATOR),
    Refusal("temporarily_unavailable", 90024, None, "login_unreachable", OPERATOR),
    Refusal("invalid_grant", 50196, None, "login_unreachable", OPERATOR),
]
# 10.3: the device code cannot be had.
BEGINNING = SETTINGS
# 10.3: the person is done, or the code is, and there is no token.
ENDING = [
    Refusal("expired_token", 70019, None, "code_expired", YOU),
    Refusal("expired_token", 70020, None, "code_expired", YOU),
    Refusal("bad_verification_code", 70018, None, "code_expired", YOU),
    Refusal("authorization_declined", None, None, "declined", YOU),
    Refusal("access_denied", None, None, "declined", YOU),
    Refusal("invalid_grant", 65001, "consent_required", "consent_required", ENTRA_ADMIN),
    Refusal("consent_required", 90094, None, "consent_required", ENTRA_ADMIN),
    Refusal("access_denied", 90094, None, "consent_required", ENTRA_ADMIN),
    Refusal("invalid_grant", 53003, "message_only", "device_code_blocked", ENTRA_ADMIN),
    Refusal("access_denied", 53003, None, "device_code_blocked", ENTRA_ADMIN),
    Refusal("interaction_required", 530003, None, "device_code_blocked", ENTRA_ADMIN),
    Refusal("interaction_required", 50076, "basic_action", "mfa_required", YOU),
    Refusal("invalid_grant", 50105, None, "account_refused", ENTRA_ADMIN),
    *SETTINGS,
]
# 10.5: the silent renewal, and the redemption of a refresh token from elsewhere.
RENEWING = [
    Refusal("invalid_grant", 700082, "token_expired", "refresh_expired", YOU),
    Refusal("invalid_grant", 70008, None, "refresh_expired", YOU),
    Refusal("invalid_grant", 70043, "bad_token", "refresh_expired", YOU),
    Refusal("invalid_grant", 50173, "bad_token", "refresh_revoked", YOU),
    Refusal("invalid_grant", 50076, "basic_action", "mfa_required", YOU),
    Refusal("interaction_required", 50079, None, "mfa_required", YOU),
    Refusal("interaction_required", 50074, None, "mfa_required", YOU),
    Refusal("invalid_grant", 53003, "message_only", "conditional_access", ENTRA_ADMIN),
    Refusal("interaction_required", 53000, None, "conditional_access", ENTRA_ADMIN),
    Refusal("interaction_required", 530003, None, "conditional_access", ENTRA_ADMIN),
    Refusal("invalid_grant", 65001, "consent_required", "consent_required", ENTRA_ADMIN),
    Refusal("consent_required", 90094, None, "consent_required", ENTRA_ADMIN),
    Refusal("invalid_grant", 50057, None, "account_refused", ENTRA_ADMIN),
    Refusal("invalid_grant", 50034, None, "account_refused", ENTRA_ADMIN),
    Refusal("invalid_grant", 50105, None, "account_refused", ENTRA_ADMIN),
    Refusal("invalid_grant", 50055, None, "refresh_revoked", YOU),
    Refusal("interaction_required", 50078, None, "mfa_required", YOU),
    Refusal("interaction_required", 50131, None, "conditional_access", ENTRA_ADMIN),
    Refusal("invalid_grant", 650056, None, "consent_required", ENTRA_ADMIN),
    Refusal("invalid_grant", 51004, None, "account_refused", ENTRA_ADMIN),
    Refusal("invalid_grant", None, "bad_token", "refresh_revoked", YOU),
    Refusal("invalid_grant", None, "token_expired", "refresh_expired", YOU),
    Refusal("invalid_grant", None, "user_password_expired", "refresh_revoked", YOU),
    Refusal("invalid_grant", None, "basic_action", "mfa_required", YOU),
    Refusal("invalid_grant", None, "additional_action", "mfa_required", YOU),
    Refusal("invalid_grant", None, "consent_required", "consent_required", ENTRA_ADMIN),
    Refusal("invalid_grant", None, "message_only", "sign_in_required", YOU),
    Refusal("invalid_grant", None, "client_mismatch", "sign_in_required", YOU),
    Refusal("invalid_grant", None, "protection_policy_required", "conditional_access", ENTRA_ADMIN),
    Refusal("invalid_grant", None, "device_authentication_failed", "conditional_access", ENTRA_ADMIN),
    Refusal("invalid_grant", 99999, None, "sign_in_required", YOU),
    *SETTINGS,
    *PASSING,
]
