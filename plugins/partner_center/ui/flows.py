"""Sign-ins that were begun: kept on the server, for ten minutes, for one use by one user of Airflow.

Each is a Variable of its own, so that any worker of the API server finds it, encrypted and masked by its name.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from partner_center import airflow_store
from partner_center.login import refusal
from partner_center.sign_in import BROWSER_SECONDS

# "secret" makes Airflow mask the value, in the UI, the REST API and logs.
VARIABLE_PREFIX = "partner_center_sign_in_flow_secret_"
DESCRIPTION = "A sign-in that was begun in the browser. Goes away by itself."


@dataclass(frozen=True, slots=True)
class BegunFlow:
    """A sign-in that waits for the browser to come back; `flow` is MSAL's, `user_id` Airflow's."""

    flow: Mapping[str, Any] = field(repr=False)
    user_id: str
    connection_id: str
    ends_at: float


def keep(flow: Mapping[str, Any], user_id: str, connection_id: str) -> None:
    """Keep a flow until the browser comes back, and remove those to which none came."""
    for key, text in airflow_store.starting_with(VARIABLE_PREFIX).items():
        if not _is_open(_parsed(text)):
            airflow_store.take(key)
    begun = BegunFlow(flow, user_id, connection_id, time.time() + BROWSER_SECONDS)
    airflow_store.put(_key(str(flow["state"])), json.dumps(asdict(begun)), DESCRIPTION)


def take(state: str, user_id: str) -> BegunFlow:
    """Return the flow of a state and forget it: whatever comes of it, the state is used up.

    Raises:
        SignInRequired: there is none (any more), it has ended, or another user began it.
    """
    begun = _parsed(airflow_store.take(_key(state)))
    if begun is None or begun.user_id != user_id or not _is_open(begun):
        raise refusal("answer_mismatch", {})
    return begun


def _key(state: str) -> str:
    return VARIABLE_PREFIX + hashlib.sha256(state.encode()).hexdigest()[:16]


def _is_open(begun: BegunFlow | None) -> bool:
    return begun is not None and begun.ends_at > time.time()


def _parsed(text: str | None) -> BegunFlow | None:
    """Return the flow of a Variable; None where there is none, or somebody put something else there."""
    try:
        return BegunFlow(**json.loads(text)) if text else None
    except (ValueError, TypeError):
        return None
