"""Settings of one Partner Center account: connection, then environment, then default; resolved once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from partner_center.errors import ConfigurationError

CONNECTION_ID = "partner_center_default"
HANDED_IN_SUFFIX = "_refresh_token"
"""Of the connection whose password is a refresh token that somebody got elsewhere."""
WAREHOUSE_CONNECTION_ID = "partner_center_db"

ENABLED_VARIABLE = "partner_center_enabled"
AUTO_MIGRATE_VARIABLE = "partner_center_auto_migrate"
CONSUMER_DOMAINS_VARIABLE = "partner_center_consumer_mail_domains"
OVERLAP_VARIABLE = "partner_center_overlap_minutes"
SWEEP_VARIABLE = "partner_center_sweep_hours"
VANISHED_SHARE_VARIABLE = "partner_center_sweep_max_vanished_share"
QUARANTINE_SHARE_VARIABLE = "partner_center_quarantine_max_share"
QUARANTINE_ROWS_VARIABLE = "partner_center_quarantine_max_rows"
STAGING_DAYS_VARIABLE = "partner_center_staging_days"
HISTORY_DAYS_VARIABLE = "partner_center_history_days"
QUARANTINE_DAYS_VARIABLE = "partner_center_quarantine_days"
ALERT_STALE_VARIABLE = "partner_center_alert_stale_minutes"
ALERT_REMINDER_VARIABLE = "partner_center_alert_reminder_hours"
ALERTS_VARIABLE = "partner_center_alerts"
"""What was told, as the watch keeps it."""
ALERT_EMAIL_CONNECTION_ID = "partner_center_alert_email"
ALERT_APPRISE_CONNECTION_ID = "partner_center_alert_apprise"
TOKEN_CACHE_VARIABLE = "partner_center_token_cache"  # noqa: S105 - a name, not a secret
SIGN_IN_STATE_VARIABLE = "partner_center_sign_in_state"

ENVIRONMENT_PREFIX = "HUNTER_PARTNER_CENTER_"
DEFAULT_API_URL = "https://api.partner.microsoft.com"
DEFAULT_SCOPE = "https://api.partner.microsoft.com/.default"
DEFAULT_API_VERSION = "v1.0"
LOGIN_URL = "https://login.microsoftonline.com"
COLLECTION_PATH = "engagements/referrals"

_TRUE = frozenset({"true", "1", "yes", "y", "t", "on", "enabled"})
_FALSE = frozenset({"false", "0", "no", "n", "f", "off", "disabled", "none", ""})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the client and the sign-in need to know of one account.

    ``api_url`` and ``authority`` are https URLs without a trailing slash; ``verify`` is True or the path
    of a CA bundle.
    """

    api_url: str
    api_version: str
    tenant_id: str
    client_id: str
    scope: str
    authority: str
    instance_discovery: bool
    verify: bool | str
    client_secret: str | None = field(default=None, repr=False)
    """The connection's password: of a confidential app registration, which signs in by browser only."""

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By scheme, as requests has them; their addresses may hold passwords."""
    trust_env: bool = True
    """Whether proxies and netrc of the environment count."""

    @property
    def resource(self) -> str:
        """The audience that a token of this scope has."""
        return self.scope.removesuffix("/.default")

    @property
    def collection_url(self) -> str:
        """URL of the referrals collection."""
        return f"{self.api_url}/{self.api_version}/{COLLECTION_PATH}"


def parse_flag(value: object, name: str) -> bool:
    """Read a switch as people write it.

    Raises:
        ConfigurationError: the value is neither a yes nor a no.
    """
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ConfigurationError(f"{name} is neither true nor false. Set it to true or false.")


def parse_number(text: str, name: str) -> float:
    """Read a number that is zero or more.

    Raises:
        ConfigurationError: the value is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise ConfigurationError(f"{name} is no number of zero or more. Correct it, or delete it for the default.")
    return number


def sync_interval(env: Mapping[str, str]) -> timedelta:
    """Return the time between two scheduled runs.

    Raises:
        ConfigurationError: the environment's value is no number of seconds.
    """
    name = f"{ENVIRONMENT_PREFIX}SYNC_INTERVAL"
    text = env.get(name) or "600"
    if not text.isdecimal() or int(text) == 0:
        raise ConfigurationError(f"{name} is {text!r}. Set it to whole seconds, such as 600.")
    return timedelta(seconds=int(text))


def resolve(
    *,
    connection_id: str = CONNECTION_ID,
    host: str | None,
    port: int | None,
    schema: str | None,
    extra: Mapping[str, Any],
    env: Mapping[str, str],
    password: str | None = None,
) -> Settings:
    """Resolve the fields of a ``partner_center`` connection, and what of the environment counts for it.

    Raises:
        ConfigurationError: a value is missing or unsafe; the message names it and where to set it.
    """

    def pick(name: str, default: str) -> str:
        given = extra.get(name) or env.get(ENVIRONMENT_PREFIX + name.upper()) or default
        return str(given).strip()

    version = pick("api_version", DEFAULT_API_VERSION).strip("/")
    tenant_id = pick("tenant_id", "")
    authority = pick("authority", f"{LOGIN_URL}/{tenant_id}" if tenant_id else "").rstrip("/")
    settings = Settings(
        api_url=_without_path(_api_url(host, port, schema, env), version),
        api_version=version,
        tenant_id=tenant_id or (urlsplit(authority).path.strip("/").split("/")[0] if _is_https(authority) else ""),
        client_id=pick("client_id", ""),
        scope=pick("scope", DEFAULT_SCOPE),
        authority=authority,
        instance_discovery=parse_flag(_given(extra, "instance_discovery"), "instance_discovery"),
        verify=_verify(_given(extra, "verify")),
        client_secret=password or None,
        proxies=_proxies(extra),
        trust_env=parse_flag(_given(extra, "trust_env"), "trust_env"),
    )
    _check(settings, connection_id)
    return settings


def _api_url(host: str | None, port: int | None, schema: str | None, env: Mapping[str, str]) -> str:
    address = (host or env.get(f"{ENVIRONMENT_PREFIX}API_URL") or DEFAULT_API_URL).strip().rstrip("/")
    if "://" not in address:
        address = f"{schema or 'https'}://{address}"
    if host and port and _is_https(address):
        parts = urlsplit(address)
        if parts.port is None:
            address = parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
    return address


def _without_path(address: str, version: str) -> str:
    """Cut off what the collection's path repeats: older settings name the address with the version, or all of it."""
    return address.removesuffix(f"/{COLLECTION_PATH}").removesuffix(f"/{version}")


def _given(extra: Mapping[str, Any], name: str) -> object:
    value = extra.get(name)
    return True if value is None else value


def _proxies(extra: Mapping[str, Any]) -> Mapping[str, str]:
    proxies = extra.get("proxies") or extra.get("proxy") or {}
    if not isinstance(proxies, Mapping):
        raise ConfigurationError(
            'proxies in the connection is no object. Give it by scheme: {"https": "http://proxy.example:3128"}.'
        )
    return proxies


def _verify(value: object) -> bool | str:
    text = str(value).strip()
    if text.lower() in _TRUE or not text:
        return True
    if text.lower() in _FALSE:
        raise ConfigurationError(
            "verify=false would send the access token to whoever answers. Leave verify out, or set it to the "
            "path of a CA bundle that signs your endpoint."
        )
    return text


def _check(settings: Settings, connection_id: str) -> None:
    where = f"in the connection {connection_id} or as {ENVIRONMENT_PREFIX}"
    if not settings.client_id:
        raise ConfigurationError(f"No client_id is set. Set it {where}CLIENT_ID: the app registration's id.")
    if not settings.authority:
        # The environment's tenant is the default account's (accounts.py).
        there = f"{where}TENANT_ID" if connection_id == CONNECTION_ID else f"in the connection {connection_id}"
        raise ConfigurationError(f"No tenant_id is set. Set it {there}: your Entra tenant's id.")
    for name, url in (("API address", settings.api_url), ("authority", settings.authority)):
        if not _is_https(url):
            raise ConfigurationError(
                f"The {name} {url!r} is not an https address, and a token is sent by https only. Change it {where}…"
            )


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
