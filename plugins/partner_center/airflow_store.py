"""Airflow's Variables from every place where our code runs: task, trigger, script, API server.

``airflow.sdk.Variable`` reaches the metadata database in tasks and triggers only, ``airflow.models.Variable``
everywhere else; neither works in both (seen on Airflow 3.3.2). That one is imported from the module in which Airflow
itself has it: the shorter name is kept for DAGs of Airflow 2 alone, and is expected to go.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from partner_center.accounts import DEFAULT, Account
from partner_center.errors import VariableUnreadable
from partner_center.settings import ENABLED_VARIABLE, ENVIRONMENT_PREFIX, parse_flag, parse_number


def get(key: str) -> str | None:
    """Return a Variable's value, or None where it is not set.

    No default is handed to Airflow: its look-up answers with the default also when it failed, be it that the metadata
    database is away or that the Fernet key does not open the value. So its "not found" is not believed until the list
    of names says the same.

    Raises:
        VariableUnreadable: the look-up failed, so nothing may be decided by it.
    """
    value, is_known = _in_task(key) if _under_supervisor() else _elsewhere(key)
    if value is None and is_known:
        raise VariableUnreadable(
            f"The Variable {key} could not be read, so nothing was decided by it. It is tried again by itself. If it "
            "lasts, the metadata database is away, or the Fernet key is not the one that the Variable was encrypted "
            "with: bring that key back, or delete the Variable and set it (or sign in) anew."
        )
    return None if value is None else str(value)


def _in_task(key: str) -> tuple[Any, bool]:
    """Return a Variable's value as a task or trigger sees it, and whether there is such a Variable."""
    from airflow.sdk import Variable
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        return Variable.get(key), True
    except AirflowRuntimeError:
        return None, key in Variable.keys(prefix=key)


def _elsewhere(key: str) -> tuple[Any, bool]:
    """Do the same in a script or the API server."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    # Before the value: where the database is away, Airflow's look-up would log a traceback and say "not found".
    with create_session() as session:
        is_known = session.scalar(select(Variable.id).where(Variable.key == key)) is not None
    try:
        return Variable.get(key), is_known
    except KeyError:
        return None, is_known


def put(key: str, value: str, description: str) -> None:
    """Create or replace a Variable; Airflow encrypts it with the Fernet key."""
    if _under_supervisor():
        from airflow.sdk import Variable

        Variable.set(key, value, description=description)
    else:
        from airflow.models.variable import Variable as StoredVariable

        StoredVariable.set(key, value, description=description)


def names(prefix: str) -> list[str]:
    """Return the names of the Variables that begin so."""
    if _under_supervisor():
        from airflow.sdk import Variable

        return list(Variable.keys(prefix=prefix))
    from airflow.models.variable import Variable as StoredVariable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = select(StoredVariable.key).where(StoredVariable.key.startswith(prefix, autoescape=True))
        return list(session.scalars(found))


def remove(key: str) -> None:
    """Delete a Variable, if it is there."""
    if _under_supervisor():
        from airflow.sdk import Variable

        Variable.delete(key)
    else:
        from airflow.models.variable import Variable as StoredVariable

        StoredVariable.delete(key)


def take(key: str) -> str | None:
    """Delete a Variable and return what it held; None where there is none (any more), or its key does not open it.

    Of several who take it at the same time, one gets it. For the API server: tasks have no such statement.
    """
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select

    with create_session() as session:
        found = session.scalar(select(Variable).where(Variable.key == key))
        value = found.val if found is not None else None
    # A transaction of its own: in SQLite, one that has read before may not write after somebody else has.
    with create_session() as session:
        deleted: Any = session.execute(delete(Variable).where(Variable.key == key))
    return None if deleted.rowcount != 1 or value is None else str(value)


def change(key: str, new: Callable[[str | None], str | None]) -> None:
    """Replace what a Variable holds by what `new` makes of it, alone; None leaves it. For the API server, as `take`."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    # Not the thread's shared session, which others commit. The write comes first: it keeps everybody else out, also in
    # SQLite, which has no row locks.
    with create_session(scoped=False) as session:
        session.execute(update(Variable).where(Variable.key == key).values(description=Variable.description))
        found = session.scalar(select(Variable).where(Variable.key == key))
        text = new(found.val if found is not None else None)
        if found is not None and text is not None:
            found.set_val(text)


def starting_with(prefix: str) -> dict[str, str | None]:
    """Return the Variables whose name starts so, None for one that cannot be read. For the API server, as `take`."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(select(Variable).where(Variable.key.startswith(prefix, autoescape=True)))
        return {each.key: each.val for each in found}


def open_from_shell() -> None:
    """Let hooks find connections of the metadata database in a process that is no part of Airflow.

    Airflow's own ``airflow connections`` does the same; without it a script sees the environment's connections only.
    """
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")


def setting(variable: str, default: str) -> str:
    """Return a setting: the Variable, else ``HUNTER_PARTNER_CENTER_<NAME>``, else the default."""
    value = get(variable)
    if value is not None:
        return value
    name = variable.removeprefix("partner_center_").upper()
    return os.environ.get(ENVIRONMENT_PREFIX + name) or default


def number(variable: str, default: float) -> float:
    """Return a setting that is a number of zero or more; raises as `setting` and `parse_number`."""
    return parse_number(setting(variable, str(default)), variable)


def days(variable: str, default: float = 0) -> timedelta | None:
    """Return a setting in days as a time span, None for zero: kept for ever."""
    return timedelta(days=number(variable, default)) or None


def sync_enabled(account: Account = DEFAULT) -> bool:
    """Whether an account is synced: the feature flag is on (off by default), and its own is not off (on by default).

    Raises:
        ConfigurationError: a flag's value is neither true nor false.
    """
    if not parse_flag(setting(ENABLED_VARIABLE, "false"), ENABLED_VARIABLE):
        return False
    own = account.enabled_variable
    return account.is_default or parse_flag(setting(own, "true"), own)


def _under_supervisor() -> bool:
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    return getattr(runner, "SUPERVISOR_COMMS", None) is not None
