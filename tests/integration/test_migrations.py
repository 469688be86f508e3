"""The schema comes by itself, once, whoever comes first; and nobody else's bookkeeping is touched."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.environment import ROOT
from tests.support.warehouse import Warehouse

MIGRATIONS = ROOT / "include" / "migrations"
HEAD = sorted(path.stem for path in (MIGRATIONS / "versions").glob("0*.py"))[-1]
TABLES = {
    "partner_center_referrals",
    "partner_center_referral_history",
    "partner_center_quarantine",
    "partner_center_sync_runs",
    "partner_center_referral_versions",
    "partner_center_skipped",
    "partner_center_contract_drift",
    "partner_center_companies",
    "partner_center_link_overrides",
    "partner_center_erased_people",
}
LOCK = "select pg_advisory_xact_lock(hashtextextended('partner_center_migrations', 0))"
UPGRADE = """
import sys
from pathlib import Path
from partner_center import airflow_store, warehouse
airflow_store.open_from_shell()
warehouse.ensure_schema(Path(sys.argv[1]), auto_migrate=True)
"""
NEXT = "--- next command"
# The commands of a shell one after the other, in one process: most of the time of each would be Airflow's import.
ALEMBIC = f"""
import sys
from alembic.config import main
for command in sys.argv[1:]:
    main(command.split(), prog="alembic")
    print({NEXT!r}, flush=True)
"""


def tables(warehouse: Warehouse) -> set[str]:
    return {row["tablename"] for row in warehouse.rows("select tablename from pg_tables where schemaname = 'public'")}


def ensure(*, auto_migrate: bool = True) -> None:
    from partner_center.warehouse import ensure_schema

    ensure_schema(MIGRATIONS, auto_migrate=auto_migrate)


def test_an_empty_database_gets_the_schema(airflow_home: Any, warehouse: Warehouse) -> None:
    ensure()
    assert tables(warehouse) >= TABLES
    assert warehouse.value("select version_num from partner_center_alembic_version") == HEAD


def test_no_function_keeps_a_later_revision_from_adding_a_column(airflow_home: Any, warehouse: Warehouse) -> None:
    """PostgreSQL from 17.12 on refuses it where a parsed body uses the table's row type; older ones do not mind."""
    ensure()
    parsed = """
        select part.proname
        from pg_proc as part
        inner join pg_depend as uses on uses.objid = part.oid and uses.classid = 'pg_proc'::regclass
        inner join pg_type as used on used.oid = uses.refobjid and uses.refclassid = 'pg_type'::regclass
        where part.prosqlbody is not null and used.typrelid <> 0
    """
    assert warehouse.rows(parsed) == []


def test_a_second_time_changes_nothing(airflow_home: Any, warehouse: Warehouse) -> None:
    ensure()
    warehouse.execute("insert into partner_center_quarantine (run_id, reason, raw) values ('r', 'no_id', '{}')")
    ensure()
    assert warehouse.value("select count(*) from partner_center_quarantine") == 1


def test_two_at_once_do_it_once(airflow_home: Any, warehouse: Warehouse) -> None:
    command = [sys.executable, "-c", UPGRADE, str(MIGRATIONS)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT / "plugins", text=True)
        for _ in range(2)
    ]
    ends = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert tables(warehouse) >= TABLES


def test_switched_off_a_schema_that_is_behind_is_told_and_left_alone(airflow_home: Any, warehouse: Warehouse) -> None:
    from partner_center.errors import SchemaBehind

    with pytest.raises(SchemaBehind, match=rf"revision none, this code needs {HEAD}.*make migrate"):
        ensure(auto_migrate=False)
    assert tables(warehouse) == set()
    ensure()
    ensure(auto_migrate=False)


def test_a_schema_of_newer_code_is_told_as_such(airflow_home: Any, warehouse: Warehouse) -> None:
    from partner_center.errors import ConfigurationError

    ensure()
    warehouse.execute("update partner_center_alembic_version set version_num = '9999_future'")
    with pytest.raises(ConfigurationError, match="9999_future, which this code does not know"):
        ensure()


def test_airflows_own_revision_in_the_same_database_stays(airflow_home: Any, warehouse: Warehouse) -> None:
    warehouse.execute("create table alembic_version (version_num text); insert into alembic_version values ('theirs')")
    ensure()
    assert warehouse.rows("select version_num from alembic_version") == [{"version_num": "theirs"}]


def test_a_migration_that_breaks_off_leaves_nothing(airflow_home: Any, warehouse: Warehouse) -> None:
    from partner_center.warehouse import WarehouseError

    warehouse.execute("create table partner_center_sync_runs (theirs text)")
    with pytest.raises(WarehouseError, match="42P07"):
        ensure()
    assert tables(warehouse) == {"partner_center_sync_runs"}
    warehouse.execute("drop table partner_center_sync_runs")
    ensure()
    assert tables(warehouse) >= TABLES


def test_the_lock_makes_the_second_wait_for_the_first(airflow_home: Any, warehouse: Warehouse) -> None:
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    with warehouse.connect() as first, ThreadPoolExecutor(1) as second:
        with first.transaction():
            first.execute(LOCK)
            ending = second.submit(ensure)
            deadline = time.monotonic() + 30
            while not warehouse.value(waiting) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert warehouse.value(waiting) == 1
            assert tables(warehouse) == set()
        ending.result(30)
    assert tables(warehouse) >= TABLES


def test_a_user_without_rights_is_told_what_to_check(airflow_home: Any, warehouse: Warehouse) -> None:
    from partner_center.warehouse import WarehouseError

    database = warehouse.dsn.rsplit("/", 1)[1]
    warehouse.execute(f"alter database {database} set default_transaction_read_only = on")
    with pytest.raises(WarehouseError, match=r"25006.*Check the rights of the user"):
        ensure()


@pytest.mark.slow
def test_by_the_command_that_operators_know(airflow_home: Any, warehouse: Warehouse) -> None:
    def alembic(*commands: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", ALEMBIC, *commands],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        told = done.stdout.split(f"{NEXT}\n")
        assert len(told) == len(commands) + 1
        return told

    warehouse.execute("create table alembic_version (version_num text); insert into alembic_version values ('theirs')")
    before, _, after, _ = alembic("current", "upgrade head", "current")
    assert HEAD not in before
    assert f"{HEAD} (head)" in after
    assert tables(warehouse) >= TABLES
    assert warehouse.rows("select version_num from alembic_version") == [{"version_num": "theirs"}]
    # One step back and forth again, with the referrals that are there.
    warehouse.execute(
        "insert into partner_center_quarantine (run_id, reason, raw) values ('r', 'no_id', '{}'); "
        "insert into partner_center_sync_runs (run_id, mode, direction, statuses, dry_run, state) "
        "values ('r', 'full', 'any', '{}', false, 'success')"
    )
    _, between, *_ = alembic("downgrade 0001_initial", "current", "upgrade head")
    assert "0001_initial" in between
    assert HEAD not in between
    assert warehouse.value("select count(*) from partner_center_quarantine") == 1


def test_a_warehouse_that_is_away_is_worth_another_try(airflow_home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from partner_center.warehouse import WarehouseUnavailable

    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", "postgres://nobody:hidden-word@127.0.0.1:1/none")
    with pytest.raises(WarehouseUnavailable) as raised:
        ensure()
    assert "hidden-word" not in str(raised.value)


def test_without_the_connection_the_message_names_it(airflow_home: Any) -> None:
    from partner_center.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="partner_center_db does not exist"):
        ensure()


def test_the_way_back_from_the_first_revision_is_refused(airflow_home: Any, warehouse: Warehouse) -> None:
    from alembic import command
    from alembic.config import Config

    from partner_center.warehouse import engine

    ensure()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine().begin() as connection:
        config.attributes["connection"] = connection
        with pytest.raises(NotImplementedError, match="drop the referrals"):
            command.downgrade(config, "base")
    put_aside = {"partner_center_erased_people"}
    assert tables(warehouse) >= TABLES - put_aside | {f"{table}_kept" for table in put_aside}


def test_the_tables_are_in_public_whatever_the_roles_search_path(airflow_home: Any, warehouse: Warehouse) -> None:
    database = warehouse.dsn.rsplit("/", 1)[1]
    warehouse.execute(f"create schema sales; alter database {database} set search_path = sales, public")
    ensure()
    assert tables(warehouse) >= TABLES
    ensure(auto_migrate=False)
