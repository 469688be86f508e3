"""Airflow's home: keys that stay the same between runs, the password, and the metadata database."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from subprocess import Popen

from .plan import FLAG, LOCAL, LOGS, PARTNER_CENTER, ROOT, WAREHOUSE, Plan
from .processes import child, wait_for_exit
from .steps import StackError, step

MIGRATE_SECONDS = 300
LOG = LOGS / "airflow-db.log"
CONNECTIONS = (WAREHOUSE, PARTNER_CENTER)
KEPT_CONNECTIONS = LOCAL / "secrets" / "connections.json"
PASSWORDS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
ALL_ADMINS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"
USERS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"


def keep_secret(name: str, make: Callable[[], str]) -> str:
    """Return the secret of that name, made on first use and kept where only its owner can read it."""
    path = LOCAL / "secrets" / name
    if path.exists():
        return path.read_text(encoding="utf-8")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    value = make()
    write_private(path, value)
    return value


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def keep_connections(plan: Plan) -> None:
    """Keep the connections to our own parts for `make doctor`, which is another process: they hold a password."""
    ours = {name: plan.environment[name] for name in CONNECTIONS if name not in plan.given and name in plan.environment}
    write_private(KEPT_CONNECTIONS, json.dumps(ours))


def choose_kept_connections(plan: Plan) -> None:
    """Name the parts that run, or ran last, where the environment does not name others."""
    try:
        kept: dict[str, str] = json.loads(KEPT_CONNECTIONS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    for name, connection in kept.items():
        if name == WAREHOUSE or plan.simulated:
            plan.choose(name, connection)


def choose_keys(plan: Plan) -> None:
    """Give every process the same keys; a home that is not ours keeps those of its configuration."""
    plan.home.mkdir(parents=True, exist_ok=True)
    if not plan.own_home and (plan.home / "airflow.cfg").exists():
        return
    fernet = keep_secret("fernet_key", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    plan.choose("AIRFLOW__CORE__FERNET_KEY", fernet)
    plan.choose("AIRFLOW__API_AUTH__JWT_SECRET", keep_secret("jwt_secret", lambda: secrets.token_urlsafe(48)))
    plan.choose("AIRFLOW__API__SECRET_KEY", keep_secret("api_secret_key", lambda: secrets.token_urlsafe(48)))


def choose_login(plan: Plan) -> tuple[str, str | None]:
    """Return a user and its password, made known before Airflow would make one and bury it in a log."""
    plan.choose(USERS, "admin:admin")
    if plan.environment.get(ALL_ADMINS, "").lower() == "true":
        return "anyone", None
    user = plan.environment[USERS].split(",")[0].split(":")[0]
    default = plan.home / "simple_auth_manager_passwords.json.generated"
    path = Path(plan.environment.get(PASSWORDS) or default)
    passwords: dict[str, str] = {}
    if path.exists():
        passwords = json.loads(path.read_text(encoding="utf-8") or "{}")
    if user not in passwords:
        passwords[user] = secrets.token_urlsafe(9)
        write_private(path, json.dumps(passwords) + "\n")
    return user, passwords[user]


@contextmanager
def migrating(plan: Plan, python: Path, *, enable: bool) -> Iterator[Callable[[], None]]:
    """Bring the metadata database up to date in the background; call what is yielded to wait for it.

    Args:
        plan: the environment.
        python: the interpreter.
        enable: also switch the feature flag on in the database, once.
    """
    switch = enable and FLAG not in plan.environment
    stamp = plan.home / ".local-stack-migrated"
    done = version("apache-airflow")
    enabled = f"{done} with the flag on"
    enough = {enabled} if switch else {done, enabled}
    if plan.own_metadata and stamp.exists() and stamp.read_text(encoding="utf-8") in enough:
        yield lambda: None
        return
    command: list[str | Path] = [
        python,
        "-m",
        "scripts.local_stack.metadata",
        *(["--enable"] if switch else []),
    ]
    with child(command, plan.environment, LOG, cwd=ROOT) as process:

        def finish() -> None:
            finish_migration(process)
            if plan.own_metadata:
                stamp.write_text(enabled if switch else done, encoding="utf-8")

        yield finish


def finish_migration(process: Popen[bytes]) -> None:
    """Wait for the migration and raise when it failed."""
    with step("Airflow's metadata database, migrated"):
        code = wait_for_exit(process, MIGRATE_SECONDS, "Migrating Airflow's metadata database", LOG)
        if code != 0:
            message = f"Airflow's metadata database could not be migrated (exit code {code})."
            remedy = "`make clean` removes the local database (and the local data), then try again."
            raise StackError(message, remedy, LOG)
