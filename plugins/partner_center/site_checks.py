"""What a doctor looks at, around the accounts: the warehouse and Airflow itself. See doctor.py for the order."""

from __future__ import annotations

from partner_center import airflow_setup, airflow_store, notifying, warehouse
from partner_center.account_checks import Patient, exists
from partner_center.errors import ConfigurationError
from partner_center.findings import Finding, not_ok, ok, warning
from partner_center.settings import (
    ALERT_APPRISE_CONNECTION_ID,
    ALERT_EMAIL_CONNECTION_ID,
    AUTO_MIGRATE_VARIABLE,
    ENABLED_VARIABLE,
    WAREHOUSE_CONNECTION_ID,
    parse_flag,
)

OLDEST_POSTGRES = 15


def look_at_metadata(_: Patient) -> Finding:
    """Does Airflow's own database answer, in which connections, Variables and DAGs stand?"""
    airflow_setup.reach_metadata()
    return ok("Airflow's metadata database answers.")


def look_at_warehouse(patient: Patient) -> Finding:
    """Does it answer, and is it new enough?"""
    if not exists(patient, WAREHOUSE_CONNECTION_ID):
        found = f"The connection {WAREHOUSE_CONNECTION_ID} does not exist, so there is no database to load into."
        advice = "Create it (type Postgres) under Admin > Connections."
        return not_ok(found, f"{patient.hint_on('warehouse')} {advice}".strip())
    with warehouse.connect() as connection:
        info = connection.info
        version, where = info.server_version // 10_000, f"{info.dbname} on {info.host}:{info.port}"
    found = f"PostgreSQL {version}, {where}."
    if version < OLDEST_POSTGRES:
        return not_ok(found, f"Use PostgreSQL {OLDEST_POSTGRES} or newer.")
    return ok(found)


def look_at_schema(patient: Patient) -> Finding:
    """Is it the one of this code? It is not changed."""
    account = patient.account
    with warehouse.tables_of(account):
        current, newest = warehouse.revisions(patient.migrations)
    by_hand = "make migrate" if account.is_default else f"alembic -x account={account.connection_id} upgrade head"
    if current == newest:
        return ok(f"Current: {current}.")
    if current is not None and not (patient.migrations / "versions" / f"{current}.py").exists():
        found = f"It is at {current}, which this code does not know: newer code brought it there."
        advice = "Deploy that code again, or go back with its own: alembic downgrade."
        return not_ok(found, advice)
    found = f"It is at {current or 'no revision yet'}, behind {newest}."
    if parse_flag(airflow_store.setting(AUTO_MIGRATE_VARIABLE, "true"), AUTO_MIGRATE_VARIABLE):
        return warning(found, f"The next run brings it up to date; or: {by_hand}")
    return not_ok(found, f"{AUTO_MIGRATE_VARIABLE} is false: run {by_hand}")


def look_at_fernet_key(_: Patient) -> Finding:
    """Does Airflow encrypt what it stores?"""
    if not airflow_setup.fernet_key_is_set():
        return not_ok(
            "[core] fernet_key is empty, so Airflow stores the token cache and all passwords in clear.",
            "Set one, the same for all components, then delete the Variables of token caches and sign in again.",
        )
    if in_clear := airflow_setup.caches_in_clear():
        found = f"A key is set, but it came later: {', '.join(in_clear)} stands in the database in clear."
        return not_ok(found, "Delete that Variable and sign in again.")
    return ok("Set: the token cache is encrypted.")


def look_at_jwt_secret(_: Patient) -> Finding:
    """Do the components of Airflow trust each other's tokens?"""
    if airflow_setup.jwt_key_is_set():
        return ok("Set.")
    found = "[api_auth] jwt_secret is empty, so each component makes its own and refuses the others' tokens."
    return not_ok(found, "Set one, the same for all components.")


def look_at_dag(patient: Patient) -> Finding:
    """Has Airflow stored the DAG as it has to be?"""
    name = f"{airflow_setup.DAG_ID}{patient.account.suffix}"
    dag = airflow_setup.stored_dag(name)
    if dag is None:
        advice = "Start it, with AIRFLOW__CORE__DAGS_FOLDER at the folder dags; then: airflow dags list."
        return warning(f"No DAG processor has stored {name} yet.", advice)
    if dag.has_import_errors:
        return not_ok(f"{name} cannot be imported.", "Run: airflow dags list-import-errors")
    if dag.missing_pools:
        found = f"{name} names a pool that does not exist: {', '.join(dag.missing_pools)}. Its tasks would wait."
        return not_ok(found, "Make it: airflow pools set NAME 1 'Partner Center'")
    if dag.max_active_runs != 1:
        found = f"{name} has max_active_runs={dag.max_active_runs}, so runs may overtake each other."
        return not_ok(found, "Deploy the DAG's file as it comes, with max_active_runs=1.")
    if dag.is_paused:
        return warning(f"{name} is paused.", f"Run: airflow dags unpause {name}")
    return ok(f"{name} is stored, unpaused, one run at a time.")


def look_at_flag(patient: Patient) -> Finding:
    """Is the sync switched on?"""
    if airflow_store.sync_enabled(patient.account):
        return ok(f"{ENABLED_VARIABLE} is on.")
    if airflow_store.sync_enabled():
        own = patient.account.enabled_variable
        return warning(f"{own} is off: every run of this account is skipped.", f"Run: airflow variables delete {own}")
    advice = f"To switch it on: airflow variables set {ENABLED_VARIABLE} true"
    return warning(f"{ENABLED_VARIABLE} is off: every run is skipped.", advice)


def look_at_alerts(patient: Patient) -> Finding:
    """Is anybody told when the sync needs a person? A run needs none of it, so nothing here is a failure."""
    for connection_id in (ALERT_EMAIL_CONNECTION_ID, ALERT_APPRISE_CONNECTION_ID):
        if airflow_setup.stores_connection(connection_id) and not exists(patient, connection_id):
            found = f"The connection {connection_id} exists and cannot be read, so nobody is told by it."
            return warning(found, "Bring back the Fernet key that it was encrypted with, or make it anew.")
    channels = notifying.channels()
    if not channels:
        return warning("Nobody is told when the sync needs a person.", notifying.HOW_TO_BE_TOLD)
    for channel in channels:
        try:
            channel.check()
        except ConfigurationError as err:
            return warning(str(err), "No alert goes out by it until then.")
    dag = airflow_setup.stored_dag(airflow_setup.WATCH_DAG_ID)
    if dag is not None and dag.is_paused:
        found = f"{airflow_setup.WATCH_DAG_ID} is paused, so nobody is told."
        return warning(found, f"Run: airflow dags unpause {airflow_setup.WATCH_DAG_ID}")
    return ok(f"Alerts go out by {', '.join(channel.title for channel in channels)}.")
