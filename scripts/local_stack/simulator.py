"""The bundled Partner Center simulator as a child."""

from __future__ import annotations

import json
import os
import selectors
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .plan import LOCAL, LOGS, PARTNER_CENTER, ROOT, Plan, free_port
from .processes import child, must_run, poll
from .steps import StackError, step

LOG = LOGS / "simulator.log"
START_SECONDS = 30
PORT_FILE = LOCAL / "simulator" / "port"


@dataclass(frozen=True)
class Simulator:
    """Where the simulator listens and what a client needs to know."""

    url: str
    ca: str
    tenant: str
    client_id: str
    authority: str

    def approve(self, user_code: str) -> None:
        """Enter a user code, as a person would on the verification page."""
        request = urllib.request.Request(  # noqa: S310 - an https address that the simulator told us
            f"{self.url}/_sim/approve",
            data=json.dumps({"user_code": user_code}).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca)),
        )
        with direct.open(request, timeout=10):
            pass

    def connection(self) -> dict[str, Any]:
        """Return the Airflow connection that leads here."""
        extra = {
            "tenant_id": self.tenant,
            "client_id": self.client_id,
            "authority": self.authority,
            "instance_discovery": False,
            "verify": self.ca,
        }
        return {"conn_type": "partner_center", "host": self.url, "extra": extra}


@contextmanager
def simulator(plan: Plan, python: Path, dataset: str = "disaster") -> Iterator[Simulator | None]:
    """Run the simulator and name it in the plan; nothing when a real connection is named there."""
    if not plan.simulated:
        yield None
        return
    state = LOCAL / "simulator"
    state.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [python, "-m", "simulator", "--dataset", dataset, "--state-dir", state]
    command += ["--port", str(last_port()), "--exit-with-stdin"]
    environment = {**plan.environment, "PYTHONPATH": str(ROOT / "include")}
    with child(command, environment, LOG, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        with step("Partner Center simulator") as notes:
            found = Simulator(**first_line(process))
            PORT_FILE.write_text(found.url.rsplit(":", 1)[1], encoding="utf-8")
            notes.append(found.url)
        plan.choose_connection(PARTNER_CENTER, found.connection())
        yield found


def last_port() -> int:
    """Return the port of the last run if it is free: then what was signed in stays signed in."""
    try:
        port = int(PORT_FILE.read_text(encoding="utf-8"))
        return port if free_port(port, tries=1) == port else 0
    except (OSError, ValueError, StackError):
        return 0


def first_line(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Wait for the simulator's line and return what a client needs of it."""
    wanted = Simulator.__dataclass_fields__
    next_step = "Read the log above; `make clean` removes the simulator's state."
    line = b""
    with selectors.DefaultSelector() as selector:
        assert process.stdout is not None  # noqa: S101 - asked for above; this tells the type checker
        selector.register(process.stdout, selectors.EVENT_READ)
        for _ in poll(START_SECONDS, every=0):
            if selector.select(timeout=0.2):
                line += os.read(process.stdout.fileno(), 65536)
            if b"\n" in line:
                told = json.loads(line.splitlines()[0])
                return {name: str(told[name]) for name in wanted}
            must_run(process, "The simulator", next_step, LOG)
    message = f"The simulator did not start within {START_SECONDS} s."
    raise StackError(message, next_step, LOG)
