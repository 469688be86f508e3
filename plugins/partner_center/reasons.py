"""Why nobody is signed in, or why a call is refused: the closed list of reasons, and who can end each.

`docs/sign-in-problems.md` has a section for each code. A reason follows from MSAL's error, its suberror and the AADSTS
number (`of_login`), or from the API's answer (`answers.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DOCUMENT = "docs/sign-in-problems.md"

YOU = "whoever signs in"
OPERATOR = "whoever runs Airflow"
PARTNER_CENTER_ADMIN = "a Partner Center administrator"
ENTRA_ADMIN = "an Entra administrator"

HOW_TO_SIGN_IN = (
    "Sign in: run `python scripts/partner_center_device_code_flow.py` on the Airflow machine, or trigger the DAG "
    "partner_center_sign_in and follow its log; then clear acquire_token or wait for the next run."
)
BY_BROWSER = (
    "Sign in by browser: `python scripts/partner_center_device_code_flow.py --browser` on a machine with a browser, or "
    "the page /partner-center/sign-in of Airflow."
)
_CONNECTION = "in the connection partner_center_default (or the account's own)"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its code, what it means, who can end it, and how, as whole sentences without names or secrets."""

    code: str
    meaning: str
    who: str
    remedy: str

    def tell(self, detail: str = "") -> str:
        """Return what happened, what the service says about it, what to do, and where to read more."""
        parts = (f"{self.meaning}.", detail, self.remedy, f"More: {DOCUMENT}#{self.code}")
        return " ".join(part for part in parts if part)


_ALL = (
    # A person has to sign in (again): runs are skipped until then.
    Reason("not_signed_in", "Nobody is signed in to Partner Center", YOU, HOW_TO_SIGN_IN),
    Reason("refresh_expired", "The sign-in has expired", YOU, HOW_TO_SIGN_IN),
    Reason(
        "refresh_revoked",
        "The sign-in was revoked, for example by a password change or an administrator",
        YOU,
        HOW_TO_SIGN_IN,
    ),
    Reason(
        "mfa_required",
        "The sign-in lacks multi-factor authentication (MFA), which Partner Center demands",
        YOU,
        f"Turn MFA on for the account. {HOW_TO_SIGN_IN}",
    ),
    Reason(
        "conditional_access",
        "A Conditional Access policy refuses the sign-in or its silent renewal",
        ENTRA_ADMIN,
        f"An Entra administrator finds the policy in the sign-in log and excludes the account, or: {HOW_TO_SIGN_IN} "
        f"Where the policy blocks device codes, it refuses earlier ones, too. {BY_BROWSER}",
    ),
    Reason(
        "claims_challenge",
        "A Conditional Access policy asks for a stronger sign-in (a claims challenge)",
        YOU,
        f"The next sign-in asks for it by itself. {HOW_TO_SIGN_IN}",
    ),
    Reason(
        "consent_required",
        "Consent to the app registration is missing",
        ENTRA_ADMIN,
        f"An Entra administrator grants it: app registration > API permissions > Grant admin consent. {HOW_TO_SIGN_IN}",
    ),
    Reason(
        "account_refused",
        "The account is disabled, unknown or not assigned to the app registration",
        ENTRA_ADMIN,
        f"An Entra administrator enables or assigns it, or another account is used. {HOW_TO_SIGN_IN}",
    ),
    Reason("token_rejected", "Partner Center does not accept the token, not even a fresh one", YOU, HOW_TO_SIGN_IN),
    Reason("sign_in_required", "The login refuses to renew the token", YOU, HOW_TO_SIGN_IN),
    # A sign-in that was begun did not end in a token.
    Reason(
        "code_expired",
        "The code ended before anybody had signed in with it",
        YOU,
        f"Start the sign-in again. If Microsoft's page said that access is blocked, the policy blocks device codes. "
        f"{BY_BROWSER}",
    ),
    Reason("declined", "The sign-in was declined at Microsoft's page", YOU, "Start it again, and accept there."),
    Reason(
        "device_code_blocked",
        "A Conditional Access policy blocks sign-in by device code",
        ENTRA_ADMIN,
        BY_BROWSER,
    ),
    Reason(
        "answer_mismatch",
        "The browser's answer does not belong to this sign-in: it is old, used already or somebody else's",
        YOU,
        "Nothing was stored. Start the sign-in again, and complete it in the same browser within 10 minutes.",
    ),
    Reason(
        "no_refresh_token",
        "The login gave no refresh token, so the sign-in would last for an hour only and was not kept",
        ENTRA_ADMIN,
        "Allow offline_access for the app registration and sign in again.",
    ),
    # A setting is wrong: no sign-in can help.
    Reason(
        "app_unknown",
        "The login knows no app registration of this client_id in this tenant, or it is disabled",
        OPERATOR,
        f"Compare client_id and tenant_id {_CONNECTION} with the app registration's overview page.",
    ),
    Reason(
        "public_client_disabled",
        "The app registration does not allow public client flows, which a sign-in without a secret needs",
        ENTRA_ADMIN,
        f"App registration > Authentication > Allow public client flows: Yes; or put its client secret {_CONNECTION}, "
        f"as the password. {BY_BROWSER}",
    ),
    Reason(
        "client_secret_refused",
        "The login does not accept the client secret",
        OPERATOR,
        f"Make a new one under app registration > Certificates & secrets and put its value {_CONNECTION}, as the "
        "password; without a secret, leave the password empty.",
    ),
    Reason(
        "wrong_tenant",
        "The tenant does not exist, or the account belongs to another one",
        OPERATOR,
        f"Set tenant_id {_CONNECTION} to the partner's own tenant id: Partner Center > Account settings > Tenants.",
    ),
    Reason(
        "wrong_scope",
        "The login does not know the scope that was asked for",
        OPERATOR,
        f"Leave scope {_CONNECTION} empty for https://api.partner.microsoft.com/.default.",
    ),
    Reason(
        "wrong_audience",
        "The token was made for another service than the Partner Center API",
        OPERATOR,
        f"Leave scope {_CONNECTION} empty for https://api.partner.microsoft.com/.default, and sign in again.",
    ),
    Reason(
        "redirect_uri_refused",
        "The app registration does not know the address that the browser would come back to",
        ENTRA_ADMIN,
        "App registration > Authentication > Add a platform: for the script, Mobile and desktop with http://localhost; "
        "for the page, the https address of Airflow with /partner-center/sign-in/callback.",
    ),
    Reason(
        "request_refused",
        "The login refuses the app registration's request",
        OPERATOR,
        f"Check client_id, tenant_id and scope {_CONNECTION}.",
    ),
    # The account is signed in, and may not.
    Reason(
        "role_missing",
        "Partner Center lets this account read no referrals",
        PARTNER_CENTER_ADMIN,
        "The user who signed in needs the role Referrals Admin or Referrals User: a Partner Center administrator gives "
        "it under Settings > User management.",
    ),
    # The outside world is away.
    Reason(
        "login_unreachable",
        "The Microsoft login is unavailable, so no token came from it",
        OPERATOR,
        "It is tried again by itself; if it lasts, check the network, the proxy and the authority in the connection.",
    ),
    Reason(
        "certificate_untrusted",
        "The server's certificate is not trusted",
        OPERATOR,
        "Set verify in the connection to the CA bundle that signs it.",
    ),
)
REASONS: Mapping[str, Reason] = {reason.code: reason for reason in _ALL}

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes: the numbers may change, so error and
# suberror decide where a number is not known.
_BY_NUMBER = {
    number: code
    for code, numbers in {
        "refresh_expired": (700082, 700084, 70008, 70043),
        "refresh_revoked": (50173, 50132, 50133, 50055, 50144),
        "mfa_required": (50072, 50074, 50076, 50078, 50079),
        "conditional_access": (53000, 53001, 53002, 53003, 53004, 530003, 530032, 50158, 50097, 50131),
        "consent_required": (65001, 90094, 90095, 650056),
        "declined": (65004,),
        "account_refused": (50034, 50053, 50057, 50105, 51004, 90072),
        "app_unknown": (700016,),
        "public_client_disabled": (7000218,),
        "client_secret_refused": (7000215, 7000222, 700025),
        "wrong_tenant": (90002, 900023, 50020, 50059),
        "wrong_scope": (70011, 500011, 650053, 650057),
        "redirect_uri_refused": (50011, 500112),
    }.items()
    for number in numbers
}
_BY_SUBERROR = {
    "bad_token": "refresh_revoked",
    "token_expired": "refresh_expired",
    "user_password_expired": "refresh_revoked",
    "consent_required": "consent_required",
    "basic_action": "mfa_required",
    "additional_action": "mfa_required",
    "protection_policy_required": "conditional_access",
    "device_authentication_failed": "conditional_access",
}
_BY_ERROR = {
    "consent_required": "consent_required",
    "unauthorized_client": "app_unknown",
    "invalid_client": "public_client_disabled",
    "invalid_scope": "wrong_scope",
    "invalid_request": "request_refused",
}
# What ends a device flow without a token.
_BY_FLOW_ERROR = {
    "authorization_pending": "code_expired",
    "slow_down": "code_expired",
    "expired_token": "code_expired",
    "bad_verification_code": "code_expired",
    "authorization_declined": "declined",
}
CONFIGURATION = frozenset(
    {
        "app_unknown",
        "public_client_disabled",
        "client_secret_refused",
        "wrong_tenant",
        "wrong_scope",
        "wrong_audience",
        "redirect_uri_refused",
        "request_refused",
    }
)
"""Reasons that no sign-in can end: a setting has to be changed."""


def numbers(result: Mapping[str, Any]) -> list[int]:
    """Return the AADSTS numbers, which stand in a list or only in the text."""
    listed = [int(code) for code in result.get("error_codes") or [] if str(code).isdigit()]
    return listed or [int(code) for code in re.findall(r"AADSTS(\d+)", str(result.get("error_description", "")))]


def of_login(result: Mapping[str, Any]) -> str:
    """Return the reason code for a refused token request: by number, then suberror, then error."""
    for number in numbers(result):
        if number in _BY_NUMBER:
            return _BY_NUMBER[number]
    found = _BY_SUBERROR.get(str(result.get("suberror") or "")) or _BY_ERROR.get(str(result.get("error") or ""))
    return found or "sign_in_required"


def of_device_flow(result: Mapping[str, Any]) -> str:
    """Return the reason code for a device flow without a token."""
    found = _BY_FLOW_ERROR.get(str(result.get("error") or "")) or of_login(result)
    if found == "conditional_access":
        return "device_code_blocked"
    return "declined" if found == "sign_in_required" and result.get("error") == "access_denied" else found


def of_browser_flow(result: Mapping[str, Any]) -> str:
    """Return the reason code for a browser sign-in without a token."""
    found = of_login(result)
    if found == "sign_in_required" and result.get("error") == "access_denied":
        return "declined"
    # 70008 is an authorization code that ended or was used, as it is a refresh token that ended.
    return "answer_mismatch" if found in {"refresh_expired", "sign_in_required"} else found
