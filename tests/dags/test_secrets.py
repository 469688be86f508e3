"""No token in any log, XCom, rendered field, error or table; no e-mail address or phone number in a log."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import Run, Runner
from tests.support.warehouse import Warehouse

FAULTS = {
    "it succeeds": [],
    "it is refused": [{"on": "referrals", "kind": "403-role"}],
    "the token is refused, and its renewal": [
        {"on": "referrals", "kind": "401"},
        {"on": "token", "kind": "oauth-error", "error": "invalid_grant", "suberror": "bad_token", "code": 50173},
    ],
    "the token lacks MFA": [{"on": "referrals", "kind": "401-mfa", "variant": "text"}],
    "the API answers garbage": [{"on": "referrals", "kind": "html200"}],
    "the login is down": [{"on": "openid", "kind": "status", "status": 503}],
}

LOOKS_LIKE_A_TOKEN = re.compile(r"eyJ[\w-]{16,}\.[\w-]{16,}|\b0\.A[\w-]{40,}")


def secrets(simulator: Any) -> set[str]:
    """Return everything that the simulator ever handed out that opens a door."""
    from partner_center.airflow_store import get

    tokens = simulator.control._state.tokens
    cache = json.loads(get("partner_center_token_cache") or "{}")
    kept = {entry["secret"] for name in ("AccessToken", "RefreshToken", "IdToken") for entry in cache[name].values()}
    found = {*tokens.access, *tokens.refresh, *tokens.device, *kept}
    assert len(found) >= 3
    assert all(len(secret) >= 8 for secret in found)
    return found


def texts_of_sqlite(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every value of a SQLite database with its table."""
    with sqlite3.connect(path) as metadata:
        tables = [name for (name,) in metadata.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in metadata.execute(f'select * from "{table}"'):
                yield table, " ".join(v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in row)


def texts_of_warehouse(warehouse: Warehouse) -> Iterator[tuple[str, str]]:
    """Yield every row of the warehouse as text, with its table."""
    names = warehouse.rows("select tablename from pg_tables where schemaname = 'public' order by 1")
    for name in (row["tablename"] for row in names):
        for row in warehouse.rows(f"select t::text as text from {name} as t"):
            yield name, row["text"]


def files_below(directory: Path) -> Iterator[tuple[str, str]]:
    for path in directory.rglob("*.log"):
        yield path.name, path.read_text(errors="replace")


@pytest.mark.parametrize("case", FAULTS)
def test_nothing_secret_is_left_anywhere(
    run_sync: Runner,
    simulator: Any,
    warehouse: Warehouse,
    airflow_home: Path,
    short_waits: list[float],
    case: str,
) -> None:
    simulator.control.faults(FAULTS[case])
    run: Run = run_sync()
    # A good token needs no login.
    assert (run.state == "success") == (case in {"it succeeds", "the login is down"})
    places = [
        ("log", run.log),
        *(("xcom", json.dumps(value)) for value in run.xcoms.values()),
        *files_below(airflow_home / "logs"),
        *texts_of_sqlite(airflow_home / "airflow.db"),
        *texts_of_warehouse(warehouse),
    ]
    # The scan sees what it is meant to see: each place tells of this run.
    telling = {place for place, text in places if run.run_id in text}
    assert telling >= {"log", "dag_run", "rendered_task_instance_fields"}
    assert "partner_center_sync_runs" in telling
    handed_out = secrets(simulator)
    leaks = [place for place, text in places for secret in handed_out if secret in text]
    assert leaks == []
    # Nor any other token: the header of a JWT, and how the login's refresh tokens begin.
    assert [place for place, text in places if LOOKS_LIKE_A_TOKEN.search(text)] == []
    assert "Bearer " not in run.log
    simulator.control.clear_violations()


def test_no_address_and_no_number_of_a_person_is_logged(
    run_sync: Runner, simulator: Any, airflow_home: Path, warehouse: Warehouse
) -> None:
    simulator.control.seed(dataset="awkward")
    awkward = run_sync()
    simulator.control.seed(dataset="disaster")
    disaster = run_sync()
    people = {member for row in simulator.control._state.store.rows for member in contacts(row.value())}
    people.add("sync@partner.example")
    assert len(people) > 40
    log = awkward.log + disaster.log + "".join(text for _, text in files_below(airflow_home / "logs"))
    assert [each for each in people if each in log] == []
    assert "s***@partner.example" in log
    assert not re.search(r"[\w.+-]+@[\w-]+\.(?:com|de|example|co\.uk)\b", log.replace("s***@partner.example", ""))


def contacts(row: dict[str, Any]) -> Iterator[str]:
    profile = row.get("customerProfile") or {}
    for member in profile.get("team") or []:
        if isinstance(member, dict):
            yield from (str(member[name]) for name in ("email", "phoneNumber") if len(member.get(name) or "") > 5)
