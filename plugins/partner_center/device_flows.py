"""Device flows that wait in the triggerer: in encrypted Variables, since Airflow keeps a trigger's arguments plain.

(Seen in Airflow 3.3.2: execution_api/routes/task_instances.py stores them as JSON.)
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from partner_center import airflow_store
from partner_center.errors import SignInRequired
from partner_center.reasons import REASONS

# "secret" makes Airflow mask the value, in the UI, the REST API and logs.
VARIABLE_PREFIX = "partner_center_device_flow_secret_"
DESCRIPTION = "A sign-in by device code that waits for its person. Goes away by itself."


def keep(flow: Mapping[str, Any]) -> str:
    """Keep a flow and return the Variable's name; those that ended and were left behind are removed."""
    for left_behind in airflow_store.names(VARIABLE_PREFIX):
        other = parsed(airflow_store.get(left_behind))
        if other is None or other["expires_at"] < time.time():
            airflow_store.remove(left_behind)
    key = VARIABLE_PREFIX + hashlib.sha256(flow["device_code"].encode()).hexdigest()[:16]
    airflow_store.put(key, json.dumps(flow), DESCRIPTION)
    return key


def read(key: str) -> dict[str, Any]:
    """Return a kept flow.

    Raises:
        SignInRequired: it is there no more: it has ended, or somebody deleted it.
        VariableUnreadable: it cannot be read.
    """
    flow = parsed(airflow_store.get(key))
    if flow is None:
        raise SignInRequired("code_expired", REASONS["code_expired"].tell())
    return flow


def forget(key: str) -> None:
    """Remove a flow that has ended."""
    airflow_store.remove(key)


def parsed(text: str | None) -> dict[str, Any] | None:
    """Return the flow of a Variable; None where there is none, or somebody put something else there."""
    try:
        flow = json.loads(text or "")
    except ValueError:
        return None
    return flow if isinstance(flow, dict) and {"device_code", "expires_at", "interval"} <= set(flow) else None
