"""All of Airflow as a child: `airflow standalone` with the real scheduler, and its REST API."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.support.commands import BIN
from tests.support.postgres import free_port

START_SECONDS = 150
RUN_SECONDS = 150
PASSWORD = "only for this test"
FINISHED = {"success", "failed", "skipped", "upstream_failed"}


class Airflow:
    """The REST API of a running Airflow, as its administrator.

    Attributes: url, token, pid (of `airflow standalone`, whose children the tasks are), home (with the logs of all
    parts).
    """

    def __init__(self, url: str, pid: int, home: Path) -> None:
        self.url = url
        self.pid = pid
        self.home = home
        self._session = requests.Session()
        self._session.trust_env = False
        answer = self._session.post(f"{url}/auth/token", json={"username": "admin", "password": PASSWORD}, timeout=30)
        self.token = answer.json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {self.token}"

    def __enter__(self) -> Airflow:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API and return its JSON."""
        answer = self._session.request(method, f"{self.url}/api/v2/{path}", json=body, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def delete_variables(self) -> None:
        """Delete every Variable."""
        for variable in self.call("GET", "variables?limit=100")["variables"]:
            answer = self._session.delete(f"{self.url}/api/v2/variables/{variable['key']}", timeout=60)
            assert answer.ok, answer.text

    def delete_connection(self, connection_id: str) -> None:
        """Delete a connection."""
        answer = self._session.delete(f"{self.url}/api/v2/connections/{connection_id}", timeout=60)
        assert answer.ok, answer.text

    def trigger(self, dag: str, conf: Mapping[str, Any] | None = None) -> str:
        """Unpause a DAG, start a run and return its id."""
        self.call("PATCH", f"dags/{dag}", {"is_paused": False})
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self.call("POST", f"dags/{dag}/dagRuns", body)["dag_run_id"])

    def clear(
        self, dag: str, run_id: str, *tasks: str, downstream: bool = False, only_failed: bool = False
    ) -> set[str]:
        """Clear tasks of a run as the UI does, all where none is named, and return which ones were."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(tasks) or None,
            "include_downstream": downstream,
            "only_failed": only_failed,
            "reset_dag_runs": True,
        }
        cleared = self.call("POST", f"dags/{dag}/clearTaskInstances", body)["task_instances"]
        return {task["task_id"] for task in cleared}

    def wait_for_task(self, dag: str, run_id: str, task: str, state: str) -> dict[str, Any]:
        """Wait until a task of a run is in a state and return it."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            found = self.tasks(dag, run_id)[task]
            if found["state"] == state:
                return found
            time.sleep(0.2)
        raise AssertionError(f"{task} of {run_id} is not {state}: {self.tasks(dag, run_id)}")

    def process(self, task: Mapping[str, Any]) -> psutil.Process:
        """Return the process in which a running task's own code runs; its parent is Airflow's supervisor."""
        for child in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.cmdline()[:1] == [f"airflow worker -- {task['id']}"]:  # Airflow's title for it
                    return child
        raise AssertionError(f"no process of {task}")

    def tasks(self, dag: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by task id."""
        found = self.call("GET", f"dags/{dag}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def wait(self, dag: str, run_id: str, states: set[str] | None = None) -> str:
        """Wait for the end of a run and return its state; note the states that its tasks were seen in."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            state = str(self.call("GET", f"dags/{dag}/dagRuns/{run_id}")["state"])
            if states is not None:
                states |= {str(task["state"]) for task in self.tasks(dag, run_id).values()}
            if state in FINISHED:
                return state
            time.sleep(0.2)
        raise AssertionError(f"{run_id} did not end: {self.tasks(dag, run_id)}")

    def counts(self, dag: str, run_id: str, task: str) -> Any:
        """Return a task's return_value."""
        path = f"dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/return_value?deserialize=true"
        return self.call("GET", path)["value"]

    def log_lines(self, dag: str, run_id: str, task: str, attempt: int = 1) -> list[Any]:
        """Return the lines of a task's log, each with its fields."""
        path = f"dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}"
        return list(self.call("GET", path)["content"])

    def log(self, dag: str, run_id: str, task: str, attempt: int = 1) -> str:
        """Return a task's log as text."""
        content = self.log_lines(dag, run_id, task, attempt)
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in content)


@contextmanager
def standalone(environment: Mapping[str, str], home: Path) -> Iterator[Airflow]:
    """Run Airflow until the end of the block; nothing of it is left then."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": PASSWORD}), encoding="utf-8")
    settings = {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": "only for this test, and long enough",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only for this test, long enough for sixty-four bytes of an HMAC.",
        # What waits for the next look of a scheduler or a supervisor waits a second less in each task.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }
    log = (home / "standalone.log").open("wb")
    process = subprocess.Popen(
        [str(BIN / "airflow"), "standalone"],
        env={**environment, **settings},
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        _wait_until_healthy(url, process, home)
        with Airflow(url, process.pid, home) as airflow:
            yield airflow
    finally:
        _end(process)
        log.close()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with requests.Session() as session:
        session.trust_env = False
        while time.monotonic() < deadline and process.poll() is None:
            try:
                health = session.get(f"{url}/api/v2/monitor/health", timeout=5).json()
            except (requests.RequestException, ValueError):
                health = {}
            if health and all(part["status"] == "healthy" for part in health.values()):
                return
            time.sleep(0.5)
    raise AssertionError(f"Airflow did not start:\n{(home / 'standalone.log').read_text()[-4000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process, what it started, and what those started.

    At once: nothing of this Airflow is looked at any more, and some of its parts take long to hear of SIGINT.
    """
    family = {psutil.Process(process.pid)}
    # Whoever is stopped starts nobody: what is found last is all there is.
    stopped: set[psutil.Process] = set()
    while family - stopped:
        for each in family - stopped:
            with suppress(psutil.NoSuchProcess):
                each.suspend()
        stopped |= family
        for each in stopped:
            with suppress(psutil.NoSuchProcess):
                family.update(each.children())
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait(10)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == [], alive
