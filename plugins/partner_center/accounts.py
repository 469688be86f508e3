"""Which partner accounts there are, and what everything that belongs to one of them is called.

An account is a connection. The first, ``partner_center_default``, has the names of the contract; another one has the
same names with ``__<name>`` behind them, and its tables in a schema of its own (docs/adr/0008).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from partner_center.errors import ConfigurationError
from partner_center.settings import (
    ALERTS_VARIABLE,
    CONNECTION_ID,
    ENABLED_VARIABLE,
    ENVIRONMENT_PREFIX,
    TOKEN_CACHE_VARIABLE,
    WAREHOUSE_CONNECTION_ID,
)

CONNECTIONS_ENVIRONMENT = f"{ENVIRONMENT_PREFIX}CONNECTIONS"

# It becomes a part of DAG ids and Variables, and the name of a PostgreSQL schema.
_ID = re.compile(r"[a-z][a-z0-9_]{0,50}")
_PREFIX = "partner_center_"
_DEFAULT_NAME = CONNECTION_ID.removeprefix(_PREFIX)
_DEFAULT_SCHEMA = "public"
_TAKEN = frozenset({_DEFAULT_SCHEMA, "information_schema", WAREHOUSE_CONNECTION_ID, _PREFIX})
# Another account is another tenant: the one in the environment is the default account's.
_DEFAULT_ALONE = frozenset({f"{ENVIRONMENT_PREFIX}TENANT_ID"})


def is_valid(connection_id: str) -> bool:
    """Whether a connection of this id can be an account."""
    return (
        _ID.fullmatch(connection_id) is not None and connection_id not in _TAKEN and not connection_id.startswith("pg_")
    )


@dataclass(frozen=True, slots=True)
class Account:
    """One partner account.

    Args:
        connection_id: id of its connection (type ``partner_center``).

    Raises:
        ConfigurationError: the id cannot name an account.
    """

    connection_id: str = CONNECTION_ID

    def __post_init__(self) -> None:
        """Refuse what could not be the name of a schema or of a DAG."""
        given = self.connection_id
        if not is_valid(given):
            raise ConfigurationError(
                f"{given!r} cannot be the connection of a partner account: its tables could not stand in a schema of "
                "that name. An id has at most 51 letters a to z, digits and underscores, begins with a letter and not "
                f"with pg_, and is none of {', '.join(sorted(_TAKEN))}. Correct it in {CONNECTIONS_ENVIRONMENT}, or "
                "give the connection another id."
            )

    @property
    def is_default(self) -> bool:
        """Whether this is the account whose names are the contract's."""
        return self.connection_id == CONNECTION_ID

    @property
    def name(self) -> str:
        """What people call the account."""
        return self.connection_id.removeprefix(_PREFIX)

    @property
    def suffix(self) -> str:
        """What stands behind the names of the account's DAGs, Variables and asset."""
        return "" if self.is_default else f"__{self.name}"

    @property
    def title(self) -> str:
        """What stands behind the names that people read."""
        return "" if self.is_default else f" ({self.name})"

    @property
    def tags(self) -> list[str]:
        """More tags of the account's DAGs."""
        return [] if self.is_default else [f"account:{self.name}"]

    @property
    def about(self) -> str:
        """What a DAG's documentation says beside what holds for all accounts."""
        if self.is_default:
            return ""
        return (
            f"\n**This DAG's account** is the connection `{self.connection_id}`. Its tables are in the schema "
            f"`{self.schema}`, not in `public`; its token cache is the Variable `{self.token_cache_variable}`. Sign in "
            f"with `partner_center_sign_in`, param `connection`. Set `{self.enabled_variable}` to `false` to switch "
            "this account off alone.\n"
        )

    @property
    def schema(self) -> str:
        """The PostgreSQL schema of the account's tables."""
        return _DEFAULT_SCHEMA if self.is_default else self.connection_id

    @property
    def sync_dag(self) -> str:
        """Id of the DAG that syncs the account; whoever may read it may read the account's referrals."""
        return f"partner_center_referral_sync{self.suffix}"

    @property
    def replay_dag(self) -> str:
        """Id of the DAG that tries quarantined rows again."""
        return f"partner_center_replay_quarantine{self.suffix}"

    @property
    def enabled_variable(self) -> str:
        """The Variable that switches the account off; of the default account the one that switches all of them."""
        return f"{ENABLED_VARIABLE}{self.suffix}"

    @property
    def token_cache_variable(self) -> str:
        """The Variable with the account's tokens."""
        return f"{TOKEN_CACHE_VARIABLE}{self.suffix}"

    @property
    def alerts_variable(self) -> str:
        """The Variable with what the account's alerts have told."""
        return f"{ALERTS_VARIABLE}{self.suffix}"

    def lock(self, what: str) -> str:
        """Return the name of an advisory lock of the account; partner_center_lock_key (0005) has the same rule."""
        return what if self.is_default else f"{what} {self.schema}"

    def environment(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """Return what of the environment counts for the account: API address, scope and app id; not the tenant."""
        return env if self.is_default else {name: value for name, value in env.items() if name not in _DEFAULT_ALONE}


DEFAULT = Account()


def listed(env: Mapping[str, str]) -> list[Account]:
    """Return the accounts that the setting lists, the default one first.

    Raises:
        ConfigurationError: an id cannot name an account, or two of them have one name.
    """
    ids = [text.strip() for text in env.get(CONNECTIONS_ENVIRONMENT, "").split(",")]
    found: dict[str, Account] = {_DEFAULT_NAME: DEFAULT}
    for account in (Account(connection_id) for connection_id in ids if connection_id):
        other = found.setdefault(account.name, account)
        if other != account:
            raise ConfigurationError(
                f"{CONNECTIONS_ENVIRONMENT} has {account.connection_id} beside {other.connection_id}: both have the "
                f"name {account.name}, so one DAG and one token cache. Give one of the connections another id."
            )
    return list(found.values())


def connections(env: Mapping[str, str]) -> list[str]:
    """Return the connection ids of `listed`; raises as that."""
    return [account.connection_id for account in listed(env)]
