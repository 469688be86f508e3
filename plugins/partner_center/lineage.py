"""Which data a task read and wrote, for those of Airflow's plugins that ask for it, such as OpenLineage.

Told through Airflow's hook lineage at run time, since the warehouse's host stands in a connection that no DAG reads
while it is parsed. Without such a plugin Airflow throws it away at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from partner_center.accounts import Account
from partner_center.hook import PartnerCenterHook
from partner_center.settings import WAREHOUSE_CONNECTION_ID

if TYPE_CHECKING:
    import psycopg

API_SCHEME = "partner-center"
REFERRALS, STAGED = "partner_center_referrals", "partner_center_staged"
QUARANTINE = "partner_center_quarantine"


def read_api(hook: PartnerCenterHook) -> None:
    """Tell that the task has read the account's referrals from the API."""
    host = urlsplit(hook.settings.api_url).netloc
    uri = f"{API_SCHEME}://{host}/{hook.account.connection_id}/referrals"
    _collector().add_input_asset(context=hook, uri=uri)


def read_table(connection: psycopg.Connection[Any], account: Account, table: str) -> None:
    """Tell that the task has read one of the account's tables."""
    _collector().add_input_asset(context=_warehouse(), uri=table_uri(connection.info, account, table))


def wrote_table(connection: psycopg.Connection[Any], account: Account, table: str) -> None:
    """Tell that the task has written one of the account's tables."""
    _collector().add_output_asset(context=_warehouse(), uri=table_uri(connection.info, account, table))


def table_uri(server: Any, account: Account, table: str) -> str:
    """Return the address of a table, as all tools that speak OpenLineage name it.

    Args:
        server: host (the path of a socket is this machine), port and dbname of the connection.
        account: whose table.
        table: its name.
    """
    host = "localhost" if server.host.startswith("/") else server.host
    return f"postgres://{host}:{server.port}/{quote(server.dbname, safe='')}/{account.schema}/{table}"


def api_uri_checked(uri: Any) -> Any:
    """Return the API's address as it is: Airflow asks a scheme's provider for what it makes of one."""
    return uri


def api_to_openlineage(asset: Any, lineage_context: Any) -> Any:  # noqa: ARG001 - OpenLineage's signature
    """Return the API's referrals as a dataset of OpenLineage's."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    address = urlsplit(asset.uri)
    return Dataset(namespace=f"{API_SCHEME}://{address.netloc}", name=address.path.lstrip("/"))


def _collector() -> Any:
    from airflow.sdk.lineage import get_hook_lineage_collector

    return get_hook_lineage_collector()


def _warehouse() -> Any:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    return PostgresHook(WAREHOUSE_CONNECTION_ID)
