"""Run as a command of its own: the doctor, in the environment that `make up` gives to Airflow.

Nothing is started: where `make up` is not running, the doctor says that its parts are away.
"""

from __future__ import annotations

import os
import sys

from .airflow_home import choose_kept_connections, choose_keys
from .plan import ROOT, Plan, is_running, make_plan

SCRIPT = ROOT / "scripts" / "partner_center_doctor.py"
HINT = "`make up` is not running, which brings this part: start it in another terminal."


def main() -> None:
    """Become the doctor's script, with the arguments of this command."""
    plan = make_plan(dotenv=True)
    choose_keys(plan)
    choose_kept_connections(plan)
    command = [sys.executable, str(SCRIPT), *sys.argv[1:], *hint(plan)]
    os.execve(sys.executable, command, plan.environment)  # noqa: S606 - no shell, as it should be


def hint(plan: Plan) -> list[str]:
    """Return the arguments that make the doctor tell which parts are away because `make up` is not running."""
    brought = {"account": plan.simulated, "warehouse": plan.embedded_postgres, "metadata": plan.own_metadata}
    parts = [part for part, ours in brought.items() if ours]
    return ["--hint", HINT, "--hint-for", *parts] if parts and not is_running() else []


if __name__ == "__main__":
    main()
