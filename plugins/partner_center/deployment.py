"""What the scripts of a deployment ask: where the warehouse is, whether a run could succeed, the flag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from partner_center import airflow_store, warehouse
from partner_center.account_checks import Patient
from partner_center.doctor import examine
from partner_center.errors import ConfigurationError
from partner_center.findings import NOT_OK
from partner_center.settings import ENABLED_VARIABLE

# https://www.postgresql.org/docs/current/libpq-envars.html
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
}

# Wrong, they keep every run from succeeding. The others can be set right in the UI afterwards, as a sign-in is.
DECIDES = frozenset({"metadata", "warehouse", "fernet_key", "jwt_secret", "settings"})


def warehouse_environment() -> Iterator[str]:
    """Yield ``PGHOST=…`` and so on, after the database has answered.

    Raises:
        ConfigurationError, WarehouseUnavailable, WarehouseError: as `warehouse.connect`.
    """
    with warehouse.connect(within=10) as connection:
        known = connection.info.get_parameters() | {"password": connection.info.password}
    for name, variable in _VARIABLES.items():
        if known.get(name):
            yield f"{variable}={known[name]}"


def preflight(migrations: Path, tell: Callable[[str], None]) -> int:
    """Tell what the doctor finds without a call to Microsoft; return 1 where every run would fail, else 0."""
    stands_in_the_way = False
    for finding in examine(Patient(migrations, offline=True)):
        tell(f"  {finding.line()}")
        stands_in_the_way |= finding.status == NOT_OK and finding.check in DECIDES
    return 1 if stands_in_the_way else 0


def switch(*, is_on: bool) -> None:
    """Set the feature flag of all accounts.

    Raises:
        ConfigurationError: something else decides.
    """
    airflow_store.put(ENABLED_VARIABLE, "true" if is_on else "false", "The Partner Center sync's feature flag.")
    if airflow_store.sync_enabled() != is_on:
        raise ConfigurationError(
            f"The Variable {ENABLED_VARIABLE} was set to {is_on}, but another value is read: the environment's "
            f"AIRFLOW_VAR_{ENABLED_VARIABLE.upper()}, or a secrets backend, wins over it. Change it there."
        )
