"""The environment of the tests: an Airflow home of each worker's own, and nothing of the user's."""

from __future__ import annotations

import base64
import fcntl
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".local" / "test-cache"
MIGRATE_SECONDS = 170

# What a developer's shell may carry: Airflow's settings, the old names of ours, libpq's, requests' and proxies.
LEAKS = ("AIRFLOW", "_AIRFLOW", "HUNTER_", "PG", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_")
FERNET_KEY = base64.urlsafe_b64encode(b"only for tests, 32 bytes in all.").decode()


def scrub(environment: os._Environ[str] | dict[str, str]) -> None:
    """Remove what would leak into the tests."""
    for name in list(environment):
        if name.startswith(LEAKS) or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            del environment[name]


def settings(home: Path) -> dict[str, str]:
    """Return Airflow's settings for a home, with SQLite metadata in it."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
        "AIRFLOW__API_AUTH__JWT_SECRET": "only for tests, long enough for sixty-four bytes of HMAC, I say.",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }


def make_home() -> Path:
    """Make an empty Airflow home and point this process to it; call it before the first import of Airflow."""
    home = Path(tempfile.mkdtemp(prefix="partner-center-tests-"))
    scrub(os.environ)
    os.environ.update(settings(home))
    return home


def migrated_metadata(home: Path) -> None:
    """Put a migrated metadata database into a home: a copy of one that is made once and kept.

    It takes 10 s to make; workers wait for the one that makes it, and later sessions find it.
    """
    kept = CACHE / version("apache-airflow") / "airflow.db"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            _migrate(kept)
        shutil.copyfile(kept, home / "airflow.db")


def no_waiting_for_disks() -> None:
    """Let SQLite leave writing to the kernel: a quarter of the time of a run."""
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def unsynced(connection: Any, _record: Any) -> None:
        if "sqlite" in type(connection).__module__:
            cursor = connection.cursor()
            cursor.execute("PRAGMA synchronous=OFF")
            cursor.close()


def statements_split_once() -> None:
    """Keep what sqlparse made of a file: it takes most of a small run's time, and gives the same each time."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    split = functools.cache(PostgresHook.split_sql_string)

    def split_once(sql: str, strip_semicolon: bool = False) -> list[str]:
        return list(split(sql, strip_semicolon))

    PostgresHook.split_sql_string = staticmethod(split_once)


def _migrate(kept: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="partner-center-migration-") as directory:
        environment = {**os.environ, **settings(Path(directory))}
        command = [sys.executable, "-c", "from airflow.utils.db import initdb; initdb()"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=MIGRATE_SECONDS, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"Airflow's metadata database could not be made:\n{done.stderr[-4000:]}")
        # Whole or not at all: an interrupted session must not leave half a database behind.
        part = kept.with_suffix(".part")
        shutil.copyfile(Path(directory) / "airflow.db", part)
        part.replace(kept)
