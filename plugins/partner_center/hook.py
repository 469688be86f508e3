"""The Airflow hook: from a connection to a session that reads referrals."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.providers.http.hooks.http import HttpHook
from requests import Session

from partner_center import accounts
from partner_center.accounts import Account
from partner_center.auth import BearerAuth, TokenSource
from partner_center.client import ReferralClient
from partner_center.errors import PartnerCenterError
from partner_center.settings import CONNECTION_ID, HANDED_IN_SUFFIX, Settings, resolve
from partner_center.token_cache import StoredTokenCache, VariableStore
from partner_center.transport import VerbatimAdapter

# What HttpHook itself understands of an extra. Everything else it would send as a header.
_TRANSPORT_EXTRAS = ("proxies", "proxy", "trust_env", "cert")


class PartnerCenterHook(HttpHook):
    """Read a partner's referrals as the person who signed in.

    The connection (type ``partner_center``): host = API address; extra = tenant_id, client_id, scope, authority,
    instance_discovery, api_version, verify, and HttpHook's proxies, trust_env and cert. No extra is ever sent as a
    header; the password is the client secret of a confidential app registration, and goes to the login alone. Where
    the connection does not exist, the ``HUNTER_PARTNER_CENTER_…`` environment is used; its tenant is the default
    account's alone. Each connection has a token cache of its own (accounts.py).

    Args:
        partner_center_conn_id: id of the connection.
    """

    conn_name_attr = "partner_center_conn_id"
    default_conn_name = CONNECTION_ID
    conn_type = "partner_center"
    hook_name = "Microsoft Partner Center"

    def __init__(self, partner_center_conn_id: str = CONNECTION_ID) -> None:
        super().__init__(method="GET", http_conn_id=partner_center_conn_id, adapter=VerbatimAdapter())
        self.partner_center_conn_id = partner_center_conn_id

    @cached_property
    def account(self) -> Account:
        """The account that the connection is."""
        if accounts.is_valid(self.partner_center_conn_id):
            return Account(self.partner_center_conn_id)
        # Airflow's Test button gives the connection a random id: the tenant tells whose tokens are meant.
        for listed in accounts.listed(os.environ):
            if PartnerCenterHook(listed.connection_id).tenant == self.tenant:
                return listed
        return accounts.DEFAULT

    @property
    def tenant(self) -> object:
        """The tenant that the connection itself names."""
        return self._connection.extra_dejson.get("tenant_id")

    @cached_property
    def settings(self) -> Settings:
        """The account's settings.

        Raises:
            ConfigurationError: something is missing or unsafe.
        """
        connection = self._connection
        return resolve(
            connection_id=self.account.connection_id,
            host=connection.host,
            port=connection.port,
            schema=connection.schema,
            extra=connection.extra_dejson,
            env=self.account.environment(os.environ),
            password=connection.password,
        )

    @cached_property
    def tokens(self) -> TokenSource:
        """The source of access tokens, on the cache in the account's Airflow Variable."""
        cache = StoredTokenCache(VariableStore(self.account.token_cache_variable), takes_file=self.account.is_default)
        return TokenSource(self.settings, cache, self._handed_in)

    @cached_property
    def client(self) -> ReferralClient:
        """A client over one kept-alive session."""
        return ReferralClient(self.get_conn(), self.tokens, self.settings)

    def get_conn(
        self, headers: Mapping[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> Session:
        """Return a session whose requests carry the token to the API host and nowhere else."""
        session = Session()
        self._set_base_url(self._connection)
        transport = {k: v for k, v in self._connection.extra_dejson.items() if k in _TRANSPORT_EXTRAS}
        options = SimpleNamespace(extra_dejson=transport, host=self.base_url)
        session = self._configure_session_from_extra(session, options, extra_options or {})
        session = self._configure_session_from_mount_adapters(session)
        session.verify = self.settings.verify
        session.auth = BearerAuth(self.tokens, self.settings)
        session.headers.update({"Accept": "application/json", **(headers or {})})
        return session

    def test_connection(self) -> tuple[bool, str]:
        """Sign in silently and read one referral; never raises."""
        try:
            account = self.tokens.current().account
            # A good token is used without the login, whose settings are in question here, too.
            self.tokens.reach_login()
            count = self.client.probe()
        except PartnerCenterError as err:
            return False, str(err)
        except Exception as err:  # noqa: BLE001 - Airflow shows the text of whatever went wrong, and must not crash
            return False, f"Unexpected {type(err).__name__}. Look into the API server's log."
        return True, f"Signed in as {account}; the API answered with {count} referral(s)."

    def _handed_in(self) -> str | None:
        """Return the refresh token that somebody put into a connection of its own, or None."""
        try:
            return self.get_connection(f"{self.account.connection_id}{HANDED_IN_SUFFIX}").password or None
        except AirflowNotFoundException:
            return None

    @cached_property
    def _connection(self) -> Any:
        try:
            return self.get_connection(self.partner_center_conn_id)
        except AirflowNotFoundException:
            return SimpleNamespace(host=None, port=None, schema=None, password=None, extra_dejson={})

    def _set_base_url(self, connection: Any) -> None:  # noqa: ARG002 - HttpHook's signature
        self.base_url = self.settings.api_url
        self._base_url_initialized = True
