"""Signing in by device code: the script that people use, and the simulator in the place of the person."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .plan import LOGS, ROOT, Plan
from .processes import child
from .simulator import Simulator
from .steps import StackError, say, step

SCRIPT = ROOT / "scripts" / "partner_center_device_code_flow.py"
LOG = LOGS / "sign-in.log"
CODE = re.compile(r"(?i:\bcode)\b\W*([A-Z0-9]{8,9})\b")
SECONDS = 180
BY_HAND = "`.venv/bin/python scripts/partner_center_device_code_flow.py`"


def sign_in(plan: Plan, python: Path, at: Simulator | None) -> None:
    """Sign in; at the simulator by itself, at the real Partner Center with the person's help.

    Raises:
        StackError: the script failed.
    """
    if at is None:
        say("  Sign-in by device code: open the address below and enter the code")
        check(run_script(plan, python, None))
        return
    with step("Sign-in by device code") as notes:
        check(run_script(plan, python, at, notes), LOG)


def check(code: int, log: Path | None = None) -> None:
    """Raise unless the script's exit code says that it signed in."""
    if code != 0:
        message = f"Signing in failed (exit code {code}): without a token there is nothing to fetch."
        raise StackError(message, f"Read the lines above. By hand: {BY_HAND}", log)


def run_script(plan: Plan, python: Path, at: Simulator | None, notes: list[str] | None = None) -> int:
    """Run the script, approve its code or show its lines, and return its exit code."""
    environment = {**plan.environment, "PYTHONUNBUFFERED": "1"}
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": ROOT}
    with child([python, SCRIPT], environment, LOG, **piped) as process:
        # A person takes the time that the code is valid; the simulator answers at once.
        watchdog = threading.Timer(SECONDS, process.kill)
        if at is not None:
            watchdog.start()
        try:
            for line in lines_of(process):
                if at is None:
                    say(f"    {line}")
                elif found := CODE.search(line):
                    approve(at, found[1], notes)
            return process.wait()
        finally:
            watchdog.cancel()


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield what the child prints, and keep it in the log."""
    with LOG.open("w", encoding="utf-8", buffering=1) as log:
        for raw in process.stdout or ():
            line = raw.decode(errors="replace").rstrip()
            log.write(f"{line}\n")
            yield line


def approve(at: Simulator, code: str, notes: list[str] | None) -> None:
    """Approve a code once, however often it is printed."""
    note = f"code {code} approved"
    if notes is None or note in notes:
        return
    try:
        at.approve(code)
    except OSError as err:
        message = f"The simulator did not take the code {code}: {err}."
        raise StackError(message, "Read the simulator's log in .local/logs/simulator.log.", LOG) from err
    notes.append(note)
