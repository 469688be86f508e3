"""Airflow's own commands as children, in an environment that holds what the contract names and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.environment import FERNET_KEY, ROOT

if TYPE_CHECKING:
    from simulator import Simulator

BIN = Path(sys.executable).parent
SCRIPT = ROOT / "scripts" / "partner_center_device_code_flow.py"
SECONDS = 150


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str


def contract_environment(home: Path, metadata: str, connections: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment in which the contract promises that `airflow dags test` works."""
    named = {f"AIRFLOW_CONN_{name.upper()}": value for name, value in connections.items()}
    return {
        "PATH": f"{BIN}{os.pathsep}{os.defpath}",
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata,
        **{name: value if isinstance(value, str) else json.dumps(value) for name, value in named.items()},
    }


def run(environment: Mapping[str, str], *command: str, cwd: Path) -> Done:
    """Run a command of the virtual environment to its end."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Done(done.returncode, done.stdout)


def run_sign_in_script(environment: Mapping[str, str], simulator: Simulator, answer: str, cwd: Path) -> Done:
    """Run the sign-in script and `approve` or `deny` the code that it prints."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    lines = []
    try:
        with process:
            for line in process.stdout or ():
                lines.append(line)
                if found := re.match(r"Code: (\S+)", line):
                    getattr(simulator.control, answer)(found[1])
        return Done(process.returncode, "".join(lines))
    finally:
        watchdog.cancel()
