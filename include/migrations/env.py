"""Alembic's environment: the schema of the warehouse, in plain SQL files below include/sql/schema.

``alembic upgrade head`` is for all partner accounts, every other command for the default one; ``-x account=ID`` names
one, by the id of its connection.
"""

from __future__ import annotations

from typing import Any

from alembic import context
from alembic.util import CommandError

# A name of its own: Airflow keeps its own alembic_version, perhaps in the same database.
OPTIONS = {"version_table": "partner_center_alembic_version", "transaction_per_migration": False}


def run() -> None:
    """Run on the caller's connection, or on the one that Airflow knows as partner_center_db."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run_on(connection)
        return
    from partner_center import airflow_store, warehouse
    from partner_center.errors import ConfigurationError

    airflow_store.open_from_shell()
    try:
        for account in accounts():
            with warehouse.tables_of(account), warehouse.migrating(upward=command() == "upgrade") as own:
                run_on(own)
    except ConfigurationError as err:
        raise CommandError(str(err)) from err


def run_on(connection: Any) -> None:
    """Run in the schema that the connection sees."""
    context.configure(connection=connection, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def command() -> str:
    """Return the name of the command that was given in the shell."""
    function, *_ = getattr(context.config.cmd_opts, "cmd", (None,))
    return getattr(function, "__name__", "")


def accounts() -> list[Any]:
    """Return whose schemas the command is for."""
    from partner_center import warehouse
    from partner_center.accounts import DEFAULT, Account

    named = context.get_x_argument(as_dictionary=True).get("account")
    if named is not None:
        return [Account(str(named))]
    # A revision between is for whoever goes back and forth: that is never done to all at once.
    is_for_all = command() == "upgrade" and context.config.cmd_opts.revision in {"head", "heads"}
    return warehouse.migrated_together() if is_for_all else [DEFAULT]


run()
