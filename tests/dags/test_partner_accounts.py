"""Several partner accounts through Airflow: a DAG for each, over its own API, tokens, tables and asset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import connection_to
from tests.integration.test_partner_accounts import EMEA, SETTING, sign_in_as
from tests.support.environment import ROOT
from tests.support.runs import DAG_ID, Runner
from tests.support.warehouse import Warehouse

REPLAY = "partner_center_replay_quarantine"
SIGN_IN = "partner_center_sign_in"
WATCH = "partner_center_watch"


def bag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(ROOT / "dags"))


@pytest.mark.filterwarnings("ignore")  # Airflow's parser warns of itself
def test_each_account_has_its_dags(airflow_home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, f"{EMEA}, apac")
    found = bag()
    assert found.import_errors == {}
    names = ("", "__emea", "__apac")
    assert set(found.dags) == {SIGN_IN, WATCH, *(f"{dag}{name}" for dag in (DAG_ID, REPLAY) for name in names)}
    shown = {dag_id: dag.dag_display_name for dag_id, dag in found.dags.items()}
    assert shown[f"{DAG_ID}__emea"] == f"{shown[DAG_ID]} (emea)" == "Partner Center referral sync (emea)"
    for dag_id in (DAG_ID, REPLAY):
        at_home, elsewhere = found.dags[dag_id], found.dags[f"{dag_id}__emea"]
        assert elsewhere.tags - at_home.tags == {"account:emea"}
        assert elsewhere.doc_md.startswith(at_home.doc_md)
        assert f"`{EMEA}`" in elsewhere.doc_md.removeprefix(at_home.doc_md)
        assert list(elsewhere.task_dict) == list(at_home.task_dict)
        assert {task.account.connection_id for task in elsewhere.tasks if hasattr(task, "account")} == {EMEA}
    outlets = {name: found.dags[f"{DAG_ID}{name}"].task_dict["verify_counts"].outlets for name in names}
    assert {name: [asset.name for asset in assets] for name, assets in outlets.items()} == {
        name: [f"partner_center_referrals{name}"] for name in names
    }
    assert list(found.dags[WATCH].task_dict) == ["watch", "watch__emea", "watch__apac"]
    connection = found.dags[SIGN_IN].params.get_param("connection")
    assert connection.value == "partner_center_default"
    assert connection.schema["enum"] == ["partner_center_default", EMEA, "apac"]


@pytest.mark.filterwarnings("ignore")
def test_a_setting_that_cannot_be_right_is_told_where_dags_are_imported(
    airflow_home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, "Emea")
    found = bag()
    assert found.dags == {}
    assert len(found.import_errors) == 4
    for error in found.import_errors.values():
        assert "'Emea' cannot be the connection of a partner account" in error
        assert f"Correct it in {SETTING}" in error


@pytest.fixture
def emea(simulator: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Another account, at an API and a login of its own: the same ids, other names, and one row that is broken."""
    from simulator import Simulator

    rows = [row.value() for row in simulator.control._state.store.rows]
    with Simulator("empty") as running:
        renamed = [row | {"name": f"emea {row['id']}"} for row in rows[:60]]
        open_one = next(row for row in rows if (row["status"], row["direction"]) == ("New", "Incoming"))
        running.control.seed(referrals=[*renamed, open_one | {"id": None}])
        monkeypatch.setenv(SETTING, EMEA)
        monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_EMEA", json.dumps(connection_to(running)))
        yield running
        assert running.control.violations() == []


def rows_at_home(warehouse: Warehouse) -> dict[str, int]:
    tables = warehouse.rows("select tablename from pg_tables where schemaname = 'public'")
    return {table: warehouse.value(f"select count(*) from {table}") for row in tables for table in row.values()}


def test_a_run_of_one_account_touches_nothing_of_the_other(
    run_sync: Runner, warehouse: Warehouse, emea: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.variable import Variable

    assert run_sync().state == "success"
    before = warehouse.versions(), warehouse.history(), Variable.get("partner_center_token_cache")
    rows = rows_at_home(warehouse)
    sign_in_as(EMEA, emea)
    run = run_sync.of(f"{DAG_ID}__emea")()
    assert (run.state, run.closed) == ("success", "success"), run.log[-4000:]
    assert (run.counts["fetched"], run.counts["quarantined"]) == (61, 1)
    found = warehouse.rows(f"select referral_id, name, source_conn_id from {EMEA}.partner_center_referrals")
    assert len(found) == run.counts["persisted"] > 0
    assert {row["name"] == f"emea {row['referral_id']}" for row in found} == {True}
    assert {row["source_conn_id"] for row in found} == {EMEA}

    # The quarantine's way back is the account's own, too.
    warehouse.execute(f'update {EMEA}.partner_center_quarantine set raw = replace(raw, \'"id":null\', \'"id":"new"\')')
    replayed = run_sync.of(f"{REPLAY}__emea")()
    assert replayed.counts["fetched"] == 1
    assert warehouse.value(f"select count(*) from {EMEA}.partner_center_quarantine where replayed_at is not null") == 1

    assert (warehouse.versions(), warehouse.history(), Variable.get("partner_center_token_cache")) == before
    assert rows_at_home(warehouse) == rows
    both = warehouse.rows(
        "select source_conn_id, count(*)::int as n from partner_center_all_referrals group by 1 order by 1"
    )
    assert [tuple(row.values()) for row in both] == [("partner_center_default", 88), (EMEA, len(found) + 1)]
