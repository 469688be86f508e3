"""The stack of docker-compose.yaml over the simulator, in a clone of the commit, for tests that deploy to it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.environment import ROOT
from tests.support.runbooks import Block, blocks

PROJECT = "partner-center-test"
IMAGE = f"{PROJECT}:current"
UI, SIMULATOR = "http://127.0.0.1:18080", "https://127.0.0.1:18443"
SYNC = "partner_center_referral_sync"
CODE = re.compile(r"^Code: ([A-Z0-9]+)$", re.MULTILINE)
COUNT = "select count(*) from partner_center_referrals"
TRACES = (
    ["docker", "ps", "--all", "--quiet", "--no-trunc"],
    ["docker", "images", "--all", "--quiet", "--no-trunc"],
    ["docker", "images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"],
    ["docker", "volume", "ls", "--quiet"],
    ["docker", "network", "ls", "--quiet"],
)


class Stack:
    """A clone of the repository with an `.env`, and what a person would call in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scale: list[str] = []
        self.followed: set[tuple[str, int]] = set()
        git = ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)]
        subprocess.run(git, check=True, timeout=60)
        self.configure()

    def configure(self, **more: str) -> None:
        """Write `.env`: what all tests need, and more."""
        lines = [(ROOT / "tests" / "compose" / "compose.env").read_text(encoding="utf-8")]
        lines += [f"{name}={value}\n" for name, value in more.items()]
        (self.folder / ".env").write_text("".join(lines), encoding="utf-8")
        (self.folder / ".env").chmod(0o600)

    @property
    def environment(self) -> dict[str, str]:
        """What makes compose use the overlay, and names of the tests' own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "HUNTER_"))}
        return kept | {
            "COMPOSE_FILE": "docker-compose.yaml:tests/compose/docker-compose.simulator.yaml",
            "COMPOSE_PROJECT_NAME": PROJECT,
            "PARTNER_CENTER_IMAGE": IMAGE,
            # Without buildx, which Debian does not have, the classic builder does.
            "DOCKER_BUILDKIT": "0",
        }

    def run(
        self, *command: str, check: bool = True, seconds: int = 900, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; its output goes to the test's own, too."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, text=True, timeout=seconds, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        sys.stdout.write(f"$ {' '.join(command)}\n{done.stdout}\n")
        assert not check or done.returncode == 0, f"exit status {done.returncode}: {' '.join(command)}\n{done.stdout}"
        return done

    def compose(self, *arguments: str, check: bool = True, seconds: int = 600) -> str:
        """Run docker compose and return what it prints."""
        return self.run("docker", "compose", *arguments, check=check, seconds=seconds).stdout

    def runbook(self, file: str, text: str, given: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Do what a runbook says: the one block that holds a text, with what is given for each ``…`` in it."""
        (block,) = (each for each in compose_blocks() if each.file == file and text in each.code)
        self.followed.add((block.file, block.line))
        done = self.run("bash", "-euo", "pipefail", "-c", block.code.replace("…", given), check=check, UI_PORT="18080")
        if check:
            for line in block.shown.splitlines():
                parts = (re.escape(part) for part in line.split("…"))
                assert re.search(".*".join(parts), done.stdout), f"{block} shows {line}, and there came\n{done.stdout}"
        return done

    def deploy(self) -> subprocess.CompletedProcess[str]:
        """Deploy, as the runbook of upgrades says: look, then in earnest."""
        return self.runbook("docs/runbooks/upgrade-and-roll-back.md", "FORCE_PRODUCTION", check=False)

    def helper(self, *arguments: str) -> str:
        """Call the image's helper in the API server."""
        command = ["python", "scripts/partner_center_deployment.py", *arguments]
        return self.compose("exec", "-T", "api-server", *command)

    def sql(self, statement: str) -> str:
        """Ask the warehouse by psql in its container, as an operator does."""
        psql = ["psql", "-U", "partner_center", "-d", "partner_center", "-qAtc", statement]
        return self.compose("exec", "-T", "warehouse", *psql).strip()

    def revision(self) -> str:
        """Return the revision of the tables."""
        return self.sql("select version_num from partner_center_alembic_version")

    def image(self) -> str:
        """Return the id of the image that the API server runs."""
        container = self.compose("ps", "-q", "api-server").strip()
        return self.run("docker", "inspect", "--format", "{{.Image}}", container).stdout.strip()

    def health(self) -> dict[str, Any]:
        """Ask /partner-center/healthz."""
        found: dict[str, Any] = requests.get(f"{UI}/partner-center/healthz", timeout=20).json()
        return found

    def up(self, *arguments: str) -> None:
        """Bring the stack up and wait until all of it is healthy."""
        self.compose("up", "-d", "--no-build", *arguments)
        self.wait_for_health()

    def wait_for_health(self) -> None:
        """Wait until every container is healthy, or has done its work."""
        until(lambda: not self.unhealthy(), 240, lambda: f"not healthy: {self.unhealthy()}")

    def unhealthy(self) -> list[str]:
        """Return the services that are not."""
        told = self.compose("ps", "--all", "--format", "{{.Service}} {{.State}} {{.ExitCode}} {{.Health}}")
        fine = re.compile(r"\S+ (running 0 healthy|exited 0 ?)")
        return [line for line in told.splitlines() if line and not fine.fullmatch(line.strip())]

    def sign_in(self) -> str:
        """Sign in by the script in a container; the simulator stands in for the person."""
        (block,) = (each for each in compose_blocks() if "device_code_flow" in each.code)
        self.followed.add((block.file, block.line))
        with subprocess.Popen(
            block.code.split(), cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            told = ""
            for line in process.stdout or ():
                told += line
                if found := CODE.match(line):
                    self.simulate("approve", {"user_code": found[1]})
        assert process.returncode == 0, told
        return told

    def simulate(self, what: str, body: Any) -> None:
        """Turn a switch of the simulator."""
        certificate = self.folder.parent / "ca.pem"
        if not certificate.exists():
            self.compose("cp", "simulator:/certificates/ca.pem", str(certificate))
        answer = requests.post(f"{SIMULATOR}/_sim/{what}", json=body, timeout=20, verify=str(certificate))
        answer.raise_for_status()

    def airflow(self, path: str, body: Any = None) -> Any:
        """Ask Airflow's REST API as admin, or tell it something."""
        login = {"username": "admin", "password": "admin"}
        token = requests.post(f"{UI}/auth/token", json=login, timeout=20).json()["access_token"]
        method = "GET" if body is None else "POST"
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.request(method, f"{UI}{path}", json=body, headers=headers, timeout=20)
        answer.raise_for_status()
        return answer.json()

    def trigger(self, **conf: Any) -> str:
        """Start a run of the sync and return its address in the REST API."""
        begun = self.airflow(f"/api/v2/dags/{SYNC}/dagRuns", {"logical_date": None, "conf": conf})
        return f"/api/v2/dags/{SYNC}/dagRuns/{begun['dag_run_id']}"

    def task(self, run: str, task_id: str) -> dict[str, Any]:
        """Return a task of a run."""
        found: dict[str, Any] = self.airflow(f"{run}/taskInstances/{task_id}")
        return found

    def commit(self, message: str, **files: str) -> str:
        """Commit files, by path; return the revision."""
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "-m", message)
        return self.run("git", "rev-parse", "--short=12", "HEAD").stdout.strip()

    def traces(self) -> list[str]:
        """Return all that a deployment could leave behind: containers, images, volumes, files, rows."""
        found = ["\n".join(sorted(self.run(*command).stdout.splitlines())) for command in TRACES]
        found.append(self.run("git", "status", "--porcelain", "--ignored").stdout)
        if self.compose("ps", "-q", "warehouse").strip():
            dump = ["pg_dump", "-U", "partner_center", "-d", "partner_center", "--restrict-key=0"]
            found.append(self.compose("exec", "-T", "warehouse", *dump))
            runs = f"select count(*), max(updated_at) from dag_run where dag_id = '{SYNC}'"
            found.append(self.compose("exec", "-T", "metadata", "psql", "-U", "airflow", "-qAtc", runs))
        return found

    def remove(self) -> None:
        """Take all of it away again."""
        self.compose("--profile", "celery", "down", "--volumes", "--timeout", "5", check=False)
        own = ["docker", "images", "--quiet", PROJECT]
        for image in set(self.run(*own).stdout.split()):
            self.run("docker", "rmi", "--force", image, check=False)


def compose_blocks() -> list[Block]:
    """Return the commands of the runbooks that are for the compose stack."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs" / "runbooks").glob("*.md"))]
    return [block for file in files for block in blocks(file) if block.where == "compose"]


def until(holds: Callable[[], Any], seconds: float, told: Callable[[], str] = lambda: "") -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s. {told()}"
        time.sleep(2)


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Give a stack of which nothing runs yet, and remove it at the end."""
    assert shutil.which("docker"), "docker is needed: make test-compose brings it on Debian"
    stack = Stack(folder)
    try:
        stack.compose("build", "simulator")
        yield stack
    finally:
        stack.remove()
