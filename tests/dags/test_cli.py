"""`airflow dags test` and the sign-in script, as the contract promises them: in a bare environment, from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import connection_to
from tests.support.commands import contract_environment, run, run_sign_in_script
from tests.support.environment import ROOT, migrated_metadata

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

DAG = "partner_center_referral_sync"
NOWHERE = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/airflow.db"}
NO_CLIENT = {"AIRFLOW_CONN_PARTNER_CENTER_DEFAULT": "partner-center://"}
DISASTER = {"fetched": 250, "eligible": 88, "with_domain": 38, "without_domain": 50, "persisted": 88}


@pytest.fixture
def sqlite_environment(tmp_path: Path, warehouse: Any, simulator: Any) -> dict[str, str]:
    migrated_metadata(tmp_path)
    connections = {
        "partner_center_db": json.loads(warehouse.connection),
        "partner_center_default": connection_to(simulator),
    }
    return contract_environment(tmp_path, f"sqlite:///{tmp_path}/airflow.db", connections)


def disaster_counts(warehouse: Any) -> dict[str, int]:
    (row,) = warehouse.rows(f"select {', '.join(DISASTER)} from partner_center_sync_runs where state = 'success'")
    return row


def test_sqlite_metadata_and_postgres_18(sqlite_environment, warehouse, simulator, tmp_path):
    signed_in = run_sign_in_script(sqlite_environment, simulator, "approve", tmp_path)
    assert (signed_in.code, "Signed in as s***@partner.example" in signed_in.out) == (0, True), signed_in.out
    environment = sqlite_environment | {"AIRFLOW_VAR_PARTNER_CENTER_ENABLED": "true"}
    done = run(environment, "airflow", "dags", "test", DAG, cwd=tmp_path)
    assert done.code == 0, done.out[-4000:]
    assert disaster_counts(warehouse) == DISASTER
    assert warehouse.value("select count(*) from partner_center_referrals") == 88
    current = run(environment, "alembic", "-c", str(ROOT / "alembic.ini"), "current", cwd=ROOT)
    assert (current.code, "(head)" in current.out) == (0, True), current.out


def test_postgres_metadata_and_postgres_15(postgres15, make_warehouse, simulator, tmp_path):
    metadata = postgres15.make_database()
    warehouse = make_warehouse(postgres15)
    connections = {
        "partner_center_db": json.loads(warehouse.connection),
        "partner_center_default": connection_to(simulator),
    }
    url = postgres15.dsn(metadata).replace("postgresql://", "postgresql+psycopg2://")
    environment = contract_environment(tmp_path, url, connections)
    migrated = run(environment, "airflow", "db", "migrate", cwd=tmp_path)
    assert migrated.code == 0, migrated.out[-4000:]
    signed_in = run_sign_in_script(environment, simulator, "approve", tmp_path)
    assert signed_in.code == 0, signed_in.out
    done = run(
        environment | {"AIRFLOW_VAR_PARTNER_CENTER_ENABLED": "true"}, "airflow", "dags", "test", DAG, cwd=tmp_path
    )
    assert done.code == 0, done.out[-4000:]
    assert disaster_counts(warehouse) == DISASTER


@pytest.mark.parametrize(
    ("answer", "changed", "said"),
    [
        pytest.param("deny", {}, "[declined]", id="declined by the person"),
        pytest.param("approve", NOWHERE, "airflow db migrate", id="no metadata database"),
        pytest.param("approve", NO_CLIENT, "client_id", id="no client id"),
    ],
)
def test_a_failing_sign_in_script_says_why_in_one_line(sqlite_environment, simulator, tmp_path, answer, changed, said):
    done = run_sign_in_script(sqlite_environment | changed, simulator, answer, tmp_path)
    assert done.code != 0
    (line,) = [line for line in done.out.splitlines() if line.startswith("Not signed in: ")]
    assert said in line
    assert "Traceback" not in done.out
