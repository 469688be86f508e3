"""`make up`: all of Airflow with its UI until Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from .airflow_home import choose_keys, choose_login, keep_connections, migrating
from .plan import BIN, LOGS, Plan, free_port, make_plan, only_one
from .postgres import warehouse
from .processes import child, must_run, poll
from .sign_in import BY_HAND, sign_in
from .simulator import simulator
from .steps import StackError, Stopped, say, shown, step

LOG = LOGS / "airflow.log"
PYTHON = Path(sys.executable)
START_SECONDS = 300
STOP_SECONDS = 15.0  # a task that is still running then is ended; the next run makes it whole
PORTS = (
    "AIRFLOW__API__PORT",
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
)
SIZE = {
    "AIRFLOW__CORE__PARALLELISM": "4",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "15",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
}
PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
READ_LOG = "Read the log above. `make clean` removes the local Airflow with its data."


def up() -> None:
    """Start the parts and Airflow, print how to get in, and stay until a signal.

    Raises:
        StackError: a part did not start, or Airflow ended by itself.
    """
    begun = time.monotonic()
    plan = make_plan(dotenv=True)
    say("Partner Center referral sync: Airflow with its UI")
    with running(plan) as (airflow, user, password):
        say_welcome(plan, user, password, time.monotonic() - begun)
        try:
            airflow.wait()
        except Stopped:
            say("\n  Stopping ...")  # how this is meant to end
            return
        must_run(airflow, "Airflow", READ_LOG, LOG)


@contextmanager
def running(plan: Plan) -> Iterator[tuple[subprocess.Popen[bytes], str, str | None]]:
    """Run all of Airflow until the end of the block; give its process, and the user and password to log in with.

    Raises:
        StackError: a part did not start.
    """
    with only_one(), ExitStack() as parts:
        choose_keys(plan)
        choose_ports(plan)
        user, password = choose_login(plan)
        enable = plan.simulated and "HUNTER_PARTNER_CENTER_ENABLED" not in plan.given
        migrated = parts.enter_context(migrating(plan, PYTHON, enable=enable))
        parts.enter_context(warehouse(plan))
        found = parts.enter_context(simulator(plan, PYTHON))
        keep_connections(plan)
        migrated()
        if found is not None:
            sign_in(plan, PYTHON, found)
        airflow = parts.enter_context(start_airflow(plan))
        wait_until_healthy(airflow, plan)
        yield airflow, user, password


def choose_ports(plan: Plan) -> str:
    """Choose free ports unless they are named, and return the address of the UI.

    Raises:
        StackError: the port that is named is taken.
    """
    named = plan.environment.get("AIRFLOW__API__PORT")
    port = free_port(int(named or 8080), tries=1 if named else 100)
    plan.choose("AIRFLOW__API__PORT", str(port))
    plan.choose("AIRFLOW__API__HOST", "127.0.0.1")
    if "AIRFLOW__API__BASE_URL" not in plan.environment:
        plan.choose("AIRFLOW__API__BASE_URL", f"http://localhost:{port}")
        plan.choose("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"http://127.0.0.1:{port}/execution/")
    for name, usual in (("WORKER", 8793), ("TRIGGER", 8794)):
        setting = f"AIRFLOW__LOGGING__{name}_LOG_SERVER_PORT"
        if setting not in plan.environment:
            plan.choose(setting, str(free_port(usual, avoid=taken_by_us(plan))))
    return plan.environment["AIRFLOW__API__BASE_URL"]


def taken_by_us(plan: Plan) -> set[int]:
    """Return the ports that are given away already, though nothing listens there yet."""
    return {int(value) for name, value in plan.environment.items() if name in PORTS and value.isdigit()}


def start_airflow(plan: Plan) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Start `airflow standalone`, sized for one person's machine."""
    for name, value in SIZE.items():
        plan.choose(name, value)
    command: list[str | Path] = [BIN / "airflow", "standalone"]
    return child(command, plan.environment, LOG, stop_signal=signal.SIGINT, grace=STOP_SECONDS)


def wait_until_healthy(airflow: subprocess.Popen[bytes], plan: Plan) -> None:
    """Wait until every part of Airflow says that it is healthy."""
    path = urlsplit(plan.environment["AIRFLOW__API__BASE_URL"]).path.rstrip("/")
    url = f"http://127.0.0.1:{plan.environment['AIRFLOW__API__PORT']}{path}/api/v2/monitor/health"
    waiting: list[str] = list(PARTS)
    with step(f"Airflow (log: {shown(LOG)})"):
        for _ in poll(START_SECONDS, every=0.5):
            must_run(airflow, "Airflow", READ_LOG, LOG)
            waiting = unhealthy(url)
            if not waiting:
                return
        message = f"Airflow was not healthy after {START_SECONDS} s: {', '.join(waiting)} did not come up."
        raise StackError(message, READ_LOG, LOG)


def unhealthy(url: str) -> list[str]:
    """Return the parts that do not say that they are healthy."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5) as answer:
            health = json.load(answer)
    except (OSError, ValueError):
        return ["api_server"]
    return [part for part in PARTS if (health.get(part) or {}).get("status") != "healthy"]


def say_welcome(plan: Plan, user: str, password: str | None, seconds: float) -> None:
    """Print how to get in and what to do there."""
    say(f"\n  Airflow is up after {seconds:.0f} s.\n")
    say(f"    Address   {plan.environment['AIRFLOW__API__BASE_URL']}")
    say(f"    User      {user}")
    say(f"    Password  {password or '(none asked for)'}")
    say("\n  The referrals are under Partner Center in the navigation.")
    if not plan.simulated:
        say(f"\n  Sign in to Partner Center: run the DAG partner_center_sign_in, or {BY_HAND}")
        say("  in another shell. The Variable partner_center_enabled switches the sync on.")
    say("\n  Ctrl-C stops all of it.")
