"""Airflow's Variables from every place where our code runs: task, trigger, script, API server.

``airflow.sdk.Variable`` reaches the metadata database in tasks and triggers only, ``airflow.models.Variable``
everywhere else; neither works in both (seen on Airflow 3.3.2).
"""

from __future__ import annotations

import os
import sys
from typing import Any

from partner_center.settings import ENABLED_VARIABLE, ENVIRONMENT_PREFIX, parse_flag


def get(key: str) -> str | None:
    """Return a Variable's value, or None where it is not set or could not be read.

    No default is handed to Airflow: its look-up answers with the default also when it failed. A caller
    that gets None must therefore not overwrite the Variable with something poorer.
    """
    if _under_supervisor():
        from airflow.sdk import Variable
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            value: Any = Variable.get(key)
        except AirflowRuntimeError:
            return None
    else:
        from airflow.models import Variable as StoredVariable

        try:
            value = StoredVariable.get(key)
        except KeyError:
            return None
    return None if value is None else str(value)


def put(key: str, value: str, description: str) -> None:
    """Create or replace a Variable; Airflow encrypts it with the Fernet key."""
    if _under_supervisor():
        from airflow.sdk import Variable

        Variable.set(key, value, description=description)
    else:
        from airflow.models import Variable as StoredVariable

        StoredVariable.set(key, value, description=description)


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


def sync_enabled() -> bool:
    """Whether the feature flag is on; off unless somebody turned it on.

    Raises:
        ConfigurationError: the flag's value is neither true nor false.
    """
    return parse_flag(setting(ENABLED_VARIABLE, "false"), ENABLED_VARIABLE)


def _under_supervisor() -> bool:
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    return getattr(runner, "SUPERVISOR_COMMS", None) is not None


def surely_absent(key: str) -> bool:
    """Whether the metadata database itself says that the Variable does not exist.

    ``get`` cannot tell: in a task, Airflow's look-up turns every failure into "not found".
    """
    if not _under_supervisor():
        return _absent_in_metadata(key)
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable

    answer = task_runner.SUPERVISOR_COMMS.send(GetVariable(key=key))
    return isinstance(answer, ErrorResponse) and answer.error == ErrorType.VARIABLE_NOT_FOUND


def _absent_in_metadata(key: str) -> bool:
    # Asked directly: Variable.get logs a failure of the database and then says "not found", here too.
    from airflow.models import Variable as StoredVariable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return session.scalar(select(StoredVariable.id).where(StoredVariable.key == key)) is None
