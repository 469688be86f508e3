"""What a doctor looks at, of an account: from its connection to one call of the API. See doctor.py for the order."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from partner_center import airflow_setup, token_claims
from partner_center.accounts import Account
from partner_center.errors import AccessDenied
from partner_center.findings import Finding, not_ok, of_reason, ok, skipped, warning
from partner_center.settings import CONNECTION_ID, ENVIRONMENT_PREFIX, HANDED_IN_SUFFIX
from partner_center.token_cache import CACHE_PATH_ENVIRONMENT

if TYPE_CHECKING:
    from partner_center.auth import AccessToken
    from partner_center.hook import PartnerCenterHook

_SECONDS = 10.0


PARTS = frozenset({"account", "warehouse", "metadata"})


@dataclass
class Patient:
    """The account that is examined, and what one check leaves for the next.

    Args:
        migrations: folder of alembic's scripts.
        connection_id: the account's connection.
        offline: no call to login, API or warehouse; Airflow's metadata database is read.
        hint: comes before the advice where a part of those in `hint_for` does not answer.
        hint_for: some of account (login and API), warehouse and metadata.
    """

    migrations: Path
    connection_id: str = CONNECTION_ID
    offline: bool = False
    hint: str = ""
    hint_for: frozenset[str] = PARTS
    token: AccessToken | None = field(default=None, init=False)
    denied: AccessDenied | None = field(default=None, init=False)

    @property
    def account(self) -> Account:
        """What belongs to the connection; raises `ConfigurationError` where its id cannot name an account."""
        return Account(self.connection_id)

    def hint_on(self, part: str) -> str:
        """Return the hint for a part that does not answer, or nothing."""
        return self.hint if part in self.hint_for else ""

    @cached_property
    def hook(self) -> PartnerCenterHook:
        """The account's hook."""
        from partner_center.hook import PartnerCenterHook

        return PartnerCenterHook(self.connection_id)


def look_at_connection(patient: Patient) -> Finding:
    """Is there a connection, or do the old names in the environment take its place?"""
    account = patient.account
    if exists(patient, patient.connection_id):
        where = "the environment" if _in_environment(patient.connection_id) else "Airflow"
        return ok(f"{patient.connection_id}, from {where}.")
    if os.environ.get(f"{ENVIRONMENT_PREFIX}CLIENT_ID") and account.is_default:
        return ok(f"There is no {patient.connection_id}; {ENVIRONMENT_PREFIX}… takes its place.")
    if airflow_setup.stores_connection(patient.connection_id):
        found = f"The connection {patient.connection_id} exists and cannot be read."
        advice = "The Fernet key is not the one that it was encrypted with: bring that key back, or make it anew."
        return not_ok(found, advice)
    found = f"The connection {patient.connection_id} does not exist, so it is not known whom to ask."
    advice = "Create it (type Microsoft Partner Center) under Admin > Connections, with tenant_id and client_id."
    return not_ok(found, f"{patient.hint_on('account')} {advice}".strip())


def exists(patient: Patient, connection_id: str) -> bool:
    """Say whether Airflow finds a connection."""
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    with suppress(AirflowNotFoundException):
        return patient.hook.get_connection(connection_id) is not None
    return False


def look_at_settings(patient: Patient) -> Finding:
    """Are they complete and safe?"""
    found = patient.hook.settings
    secret = "with a client secret" if found.client_secret else "no client secret"
    return ok(
        f"Tenant {found.tenant_id}, client id {found.client_id} ({secret}), scope {found.scope}, login "
        f"{_shown(found.authority)}, API {_shown(found.api_url)} {found.api_version}.",
    )


def look_at_tls(patient: Patient) -> Finding:
    """Can the CA bundle be read, and are the certificates of login and API trusted?"""
    verify = patient.hook.settings.verify
    bundle = f"the CA bundle {verify}" if isinstance(verify, str) else "the usual authorities"
    if isinstance(verify, str):
        try:
            _load(verify)
        except OSError as err:
            found = f"The CA bundle {verify} cannot be read ({type(err).__name__})."
            return not_ok(found, "Correct the path in verify of the connection.")
    if patient.offline:
        return ok(f"Trusts {bundle}; no certificate was looked at (--offline).")
    silent = []
    for name, url in (("login", patient.hook.settings.authority), ("API", patient.hook.settings.api_url)):
        try:
            _shake_hands(patient, url, as_api=name == "API")
        except requests.exceptions.SSLError:
            detail = f"It is the certificate of the {name}, {_shown(url)}."
            return of_reason("certificate_untrusted", detail)
        except requests.RequestException:
            silent.append(name)
    if silent:
        found = f"No certificate was seen, since there is no answer: {', '.join(silent)}."
        return warning(found, "The checks of those say more.")
    return ok(f"The certificates of login and API are trusted, by {bundle}.")


def _shake_hands(patient: Patient, url: str, *, as_api: bool) -> None:
    """Make a request without a token, to see the certificate; the answer does not matter."""
    with patient.hook.get_conn() if as_api else requests.Session() as session:
        session.auth = _no_token
        root = urlsplit(url)._replace(path="/", query="").geturl()
        session.head(root, verify=patient.hook.settings.verify, timeout=_SECONDS, allow_redirects=False)


def look_at_login(patient: Patient) -> Finding:
    """Does it answer?"""
    patient.hook.tokens.reach_login()
    return ok(f"{_shown(patient.hook.settings.authority)} answers.")


def look_at_app_registration(patient: Patient) -> Finding:
    """Does the login begin a device flow for it? Nobody completes that one."""
    if patient.hook.settings.client_secret:
        found = "With a client secret there is no device code to try it by: silent_token shows whether it is right."
        return skipped(found)
    patient.hook.tokens.start_device_flow()  # nobody completes it: the code ends by itself
    return ok("The login would begin a sign-in by device code for it.")


def look_at_token_cache(patient: Patient) -> Finding:
    """Who is signed in, and until when?"""
    kept = patient.hook.tokens.signed_in()
    if kept is None:
        return _nobody(patient)
    who = f"{kept.account} is signed in, in the tenant {kept.tenant_id}"
    if kept.ends_at is None:
        return ok(f"{who}.")
    if not kept.ends_soon:
        return ok(f"{who}, until {kept.ends_at:%Y-%m-%d}, and 90 days from every later run.")
    found = f"{who}, and it ends on {kept.ends_at:%Y-%m-%d}, in {max((kept.ends_at - datetime.now(UTC)).days, 0)} days."
    advice = "No run has renewed it for a long time: see whether the sync runs, or sign in again."
    return warning(found, advice)


def _nobody(patient: Patient) -> Finding:
    handed_in = f"{patient.connection_id}{HANDED_IN_SUFFIX}"
    if exists(patient, handed_in):
        found = f"Nobody is signed in yet, and the connection {handed_in} holds a refresh token."
        return warning(found, "The next run redeems it, and then needs it no more.")
    if os.environ.get(CACHE_PATH_ENVIRONMENT) and patient.account.is_default:
        found = f"Nobody is signed in yet, and {CACHE_PATH_ENVIRONMENT} names an old cache."
        return warning(found, "The next run imports it where it holds a refresh token.")
    return of_reason("not_signed_in")


def look_at_silent_token(patient: Patient) -> Finding:
    """Does a run get a token without anybody's help?"""
    if patient.hook.tokens.signed_in() is None:
        return skipped("The next run gets the first one, see token_cache above.")
    patient.token = patient.hook.tokens.current()
    minutes = patient.token.expires_in // 60
    return ok(f"For {patient.token.account}, without anybody's help; {minutes} minutes left.")


def look_at_token_claims(patient: Patient) -> Finding:
    """Is the token for us, of our tenant, and with MFA?"""
    secret = patient.token.secret if patient.token else ""
    claims = token_claims.read(secret)
    if not claims:
        return ok("The token is not a JWT and cannot be looked into.")
    told = _told(claims)
    problem = token_claims.problem(secret, patient.hook.settings)
    return of_reason(problem, told) if problem else ok(told)


def look_at_referral_call(patient: Patient) -> Finding:
    """Does Partner Center take the token?"""
    try:
        count = patient.hook.client.probe()
    except AccessDenied as err:
        if err.reason != "role_missing":
            raise
        patient.denied = err
        return ok("Partner Center knows the account; what it may do comes next.")
    return ok(f"Partner Center answered, with {count} referral(s).")


def look_at_role(patient: Patient) -> Finding:
    """May the account read referrals? The call before has shown it."""
    if patient.denied is not None:
        raise patient.denied
    return ok("The account may read referrals.")


def _told(claims: dict[str, object]) -> str:
    mfa = {True: "signed in with MFA", False: "signed in without MFA", None: "does not tell about MFA"}
    expires = claims.get("exp")
    until = f", until {datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC" if isinstance(expires, int) else ""
    audience, tenant = claims.get("aud", "none"), claims.get("tid", "none")
    return f"For {audience}, of the tenant {tenant}, {mfa[token_claims.has_mfa(claims)]}{until}."


def _in_environment(connection_id: str) -> bool:
    return f"AIRFLOW_CONN_{connection_id.upper()}" in os.environ


def _shown(url: str) -> str:
    """Return an address without what somebody may have put before its host."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _load(bundle: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(**{"capath" if Path(bundle).is_dir() else "cafile": bundle})


def _no_token(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
