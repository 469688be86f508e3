"""Alembic's environment: the schema of the warehouse, in plain SQL files below include/sql/schema."""

from __future__ import annotations

from alembic import context

# A name of its own: Airflow keeps its own alembic_version, perhaps in the same database.
OPTIONS = {"version_table": "partner_center_alembic_version", "transaction_per_migration": False}


def run() -> None:
    """Run on the caller's connection, or on the one that Airflow knows as partner_center_db."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        context.configure(connection=connection, **OPTIONS)
        with context.begin_transaction():
            context.run_migrations()
        return
    from partner_center import airflow_store, warehouse

    airflow_store.open_from_shell()
    with warehouse.engine().begin() as own:
        own.connection.cursor().execute(warehouse.MIGRATION_LOCK)
        context.configure(connection=own, **OPTIONS)
        with context.begin_transaction():
            context.run_migrations()


run()
