"""Which parts run and the environment they get. What is set already wins over what is chosen here."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from .processes import end_leftovers
from .steps import StackError

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
LOGS = LOCAL / "logs"
BIN = Path(sys.prefix) / "bin"

WAREHOUSE = "AIRFLOW_CONN_PARTNER_CENTER_DB"
PARTNER_CENTER = "AIRFLOW_CONN_PARTNER_CENTER_DEFAULT"
FLAG = "AIRFLOW_VAR_PARTNER_CENTER_ENABLED"
# Paths of another Python, and a setting that would compile Airflow anew in every process.
LEAKS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")


@dataclass
class Plan:
    """The environment of all children, and which parts are ours to start."""

    environment: dict[str, str]
    given: frozenset[str] = field(default_factory=frozenset)
    own_account: bool = False

    @property
    def embedded_postgres(self) -> bool:
        """True unless a warehouse is named."""
        return WAREHOUSE not in self.given

    @property
    def simulated(self) -> bool:
        """True unless a real Partner Center is named."""
        return not self.own_account and PARTNER_CENTER not in self.given

    @property
    def own_home(self) -> bool:
        """True unless AIRFLOW_HOME is named: its configuration may hold keys that are not ours to replace."""
        return "AIRFLOW_HOME" not in self.given

    @property
    def own_metadata(self) -> bool:
        """True when the metadata database is the one in our own Airflow home."""
        return self.own_home and not any("SQL_ALCHEMY_CONN" in name for name in self.given)

    @property
    def home(self) -> Path:
        """Airflow's home."""
        return Path(self.environment["AIRFLOW_HOME"]).expanduser()

    def choose(self, name: str, value: str) -> None:
        """Set a variable unless it, or its `_CMD` or `_SECRET` form, is set already."""
        if not {name, f"{name}_CMD", f"{name}_SECRET"} & self.environment.keys():
            self.environment[name] = value

    def choose_connection(self, name: str, connection: dict[str, Any]) -> None:
        """Set a connection in its JSON form unless it is set already."""
        self.choose(name, json.dumps(connection))


def make_plan(*, dotenv: bool) -> Plan:
    """Return the plan: the environment first, then `.env` if asked for, then what is chosen here."""
    environment = {name: value for name, value in os.environ.items() if name not in LEAKS}
    if dotenv:
        named = {name: value for name, value in dotenv_values(ROOT / ".env").items() if value}
        environment = named | environment
    # Names from before there were Airflow connections; the simulator's connection would win over them.
    own_account = dotenv and bool(environment.get("HUNTER_PARTNER_CENTER_CLIENT_ID"))
    plan = Plan(environment, frozenset(environment), own_account)
    environment["PATH"] = f"{BIN}{os.pathsep}{environment.get('PATH', os.defpath)}"
    # What the children print goes into our files, whatever the terminal here can show.
    environment |= {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}
    for name in ("NO_PROXY", "no_proxy"):  # a proxy would be asked for 127.0.0.1 too
        environment[name] = ",".join(filter(None, [environment.get(name), "127.0.0.1", "localhost"]))
    plan.choose("AIRFLOW_HOME", str(LOCAL / "airflow"))
    plan.choose("AIRFLOW__CORE__DAGS_FOLDER", str(ROOT / "dags"))
    plan.choose("AIRFLOW__CORE__PLUGINS_FOLDER", str(ROOT / "plugins"))
    plan.choose("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    # For the demo too: a DAG keeps the state that it was first seen in, and `make up` comes next.
    plan.choose("AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION", "False")
    return plan


def free_port(preferred: int = 0, *, tries: int = 100, avoid: Collection[int] = ()) -> int:
    """Return the preferred port, else the next free one; any free one when none is preferred.

    Raises:
        StackError: none of them is free.
    """
    for port in range(preferred, preferred + tries) if preferred else (0,):
        if port in avoid or answers(port):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    message = f"Port {preferred} is taken{f', and the {tries - 1} after it' if tries > 1 else ''}."
    raise StackError(message, "Stop what listens there, or name another: AIRFLOW__API__PORT=…")


def answers(port: int) -> bool:
    """Say whether something listens there, also on IPv6 alone: a browser would go there first."""
    if port == 0:
        return False
    try:
        socket.create_connection(("localhost", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def is_running() -> bool:
    """Say whether `make demo` or `make up` is running in this directory."""
    try:
        with (LOCAL / "lock").open(encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextmanager
def only_one() -> Iterator[None]:
    """Hold `.local` for this command alone."""
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            message = "Another `make demo` or `make up` is running in this directory."
            raise StackError(message, "Stop it with Ctrl-C where it runs, or wait for its end.") from err
        end_leftovers(LOGS)
        yield
