"""Connections to the warehouse: nobody waits for ever, neither for a lock nor for a worker that is lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.warehouse import Warehouse

LOCK = "select pg_advisory_xact_lock(hashtextextended('partner_center_referrals', 0))"


def test_a_lock_that_is_held_too_long_is_told_and_worth_another_try(airflow_home: Any, warehouse: Warehouse) -> None:
    from partner_center import warehouse as ours

    def wait_for_the_lock() -> None:
        with ours.connect() as waiting:
            waiting.execute("set lock_timeout = '100ms'")  # not ten minutes, for this test
            waiting.execute(LOCK)

    with warehouse.connect() as holder, holder.transaction():
        holder.execute(LOCK)
        with pytest.raises(ours.WarehouseUnavailable, match="Another session has held a lock") as raised:
            wait_for_the_lock()
    query = str(raised.value).split("find the session: ")[1].rstrip(".")
    assert warehouse.rows(query) == []  # it is SQL, and nobody is blocked any more


def test_a_transaction_that_is_left_open_ends_and_is_worth_another_try(airflow_home: Any, warehouse: Warehouse) -> None:
    from partner_center import warehouse as ours

    def fall_asleep() -> None:
        with ours.connect() as sleeping:
            sleeping.execute("set idle_in_transaction_session_timeout = '50ms'")
            sleeping.commit()
            sleeping.execute("select 1")
            warehouse.value("select pg_sleep(0.5)")
            sleeping.execute("select 1")

    with pytest.raises(ours.WarehouseUnavailable):
        fall_asleep()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lock_timeout", "10min"),
        ("idle_in_transaction_session_timeout", "10min"),
        ("tcp_keepalives_idle", "60"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "6"),
        ("timezone", "UTC"),
        ("search_path", "public"),
    ],
)
def test_the_settings_of_a_session(airflow_home: Any, warehouse: Warehouse, setting: str, value: str) -> None:
    from partner_center import warehouse as ours

    with ours.connect() as connection:
        row = connection.execute(f"show {setting}").fetchone()
    assert row == (value,)


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        ("alter table t add check (x < 1); insert into t values (2)", "drop it or loosen it"),
        ("do $$ begin raise exception 'no'; end $$", "drop the trigger or mend it"),
        ("select nothing from t", "alembic current"),
    ],
    ids=["constraint", "trigger", "schema"],
)
def test_a_refusal_names_what_to_look_for(airflow_home: Any, warehouse: Warehouse, statement: str, remedy: str) -> None:
    from partner_center import warehouse as ours

    warehouse.execute("create table t (x integer)")
    with pytest.raises(ours.WarehouseError, match=remedy), ours.connect() as connection:
        connection.execute(statement)
