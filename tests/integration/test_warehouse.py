"""Connections to the warehouse: nobody waits for ever, neither for a lock nor for a worker that is lost; runs end."""

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


@pytest.fixture
def migrated(make_migrated: Any, postgres18: Any) -> Warehouse:
    return make_migrated(postgres18)


def opened(run_id: str) -> float:
    from partner_center.runs import RunRequest, open_run

    return open_run(RunRequest(run_id, "incremental", "Incoming", ("New",), None, dry_run=False))


def states(warehouse: Warehouse) -> dict[str, str]:
    rows = warehouse.rows("select run_id, state from partner_center_sync_runs")
    return {row["run_id"]: row["state"] for row in rows}


def test_how_long_a_run_may_take_is_the_longest_of_the_last_five_that_succeeded(migrated: Warehouse) -> None:
    assert opened("first") == 0
    for number, (state, minutes) in enumerate(
        [("success", 90), *[("success", 3)] * 3, ("success", 40), ("failed", 60)]
    ):
        opened(f"run {number}")
        begun = f"now() - interval '{9 - number} hours'"
        migrated.execute(
            f"update partner_center_sync_runs set state = '{state}', started_at = {begun}, "
            f"finished_at = {begun} + interval '{minutes} minutes' where run_id = 'run {number}'"
        )
    assert opened("of five") == 90 * 60
    migrated.execute(
        "update partner_center_sync_runs set state = 'success', finished_at = started_at where run_id = 'of five'"
    )
    assert opened("of the next five") == 40 * 60


def test_a_run_whose_worker_was_lost_does_not_stay_running(migrated: Warehouse) -> None:
    for run_id in ("lost", "lost later", "busy"):
        opened(run_id)
    migrated.execute(
        "update partner_center_sync_runs set started_at = now() - interval '3 hours'; "
        "update partner_center_sync_runs set read_at = now() - interval '150 minutes' where run_id = 'lost later'; "
        "update partner_center_sync_runs set read_at = now() where run_id = 'busy'"
    )
    opened("next")
    assert states(migrated) == {"lost": "failed", "lost later": "failed", "busy": "running", "next": "running"}
    assert "its worker was lost" in migrated.run("lost")["reason"]
    assert migrated.run("lost")["finished_at"] is not None


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_ended_stays_so_when_it_reads_again(migrated: Warehouse, state: str) -> None:
    # Cleared alone, the task is followed by none that could end the run a second time.
    opened("run")
    migrated.execute(f"update partner_center_sync_runs set state = '{state}', reason = 'x', finished_at = now()")
    opened("run")
    assert (states(migrated), migrated.run("run")["reason"]) == ({"run": state}, "x")
    assert migrated.run("run")["finished_at"] is not None


def test_a_run_that_was_skipped_runs_once_it_reads(migrated: Warehouse) -> None:
    from partner_center.runs import RunRequest, end_early

    request = RunRequest("run", "incremental", "Incoming", ("New",), None, dry_run=False)
    end_early(request, "skipped", "switched off")
    opened("run")
    assert (states(migrated), migrated.run("run")["reason"]) == ({"run": "running"}, None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_ends_a_task_is_noted(migrated: Warehouse, error: type[BaseException]) -> None:
    from partner_center.runs import failures_recorded

    opened("run")
    with pytest.raises(error), failures_recorded("run"):
        raise error
    assert migrated.run("run")["state"] == "failed"
    assert error.__name__ in migrated.run("run")["reason"]
