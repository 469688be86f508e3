"""Nobody loses a refresh token: several processes at a login that revokes each refresh token at its first use."""

import subprocess
import sys
import time

import psycopg
import pytest

from partner_center.errors import ConfigurationError
from tests.support.environment import ROOT

pytestmark = pytest.mark.slow

PROCESSES, TIMES = 8, 4
LOCK = "select pg_advisory_lock(hashtextextended('partner_center_token_cache', 0))"


def hook():
    from partner_center.hook import PartnerCenterHook

    return PartnerCenterHook()


def renewals(simulator):
    return sum(each["grant"] == "refresh_token" for each in simulator.control.requests())


def renewing(processes, times):
    command = [sys.executable, str(ROOT / "tests" / "support" / "renewals.py"), str(processes), str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def told(process):
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return [line for line in out.splitlines() if line.replace(" ", "").isdigit()]


def test_eight_processes_lose_no_rotation_nor_does_a_sign_in_among_them(simulator, warehouse, variables):
    from tests.support.sign_in import sign_in

    # Tokens so short that each use is a renewal.
    simulator.control.settings(rotation="rotate-and-revoke-old", expires_in=60)
    sign_in(simulator)
    simulator.control.clear_requests()
    process = renewing(PROCESSES, TIMES)
    while renewals(simulator) < PROCESSES and process.poll() is None:
        time.sleep(0.01)
    sign_in(simulator)
    assert told(process) == [f"{TIMES} {TIMES}"] * PROCESSES
    assert renewals(simulator) >= PROCESSES * TIMES
    # What is kept is the newest, and good.
    simulator.control.settings(expires_in=3_600)
    assert hook().tokens.current().expires_in > 3_000


def test_who_waited_for_the_lock_takes_the_token_that_the_other_one_got(simulator, warehouse, variables):
    from tests.support.sign_in import sign_in

    simulator.control.settings(expires_in=60)
    sign_in(simulator)
    simulator.control.settings(expires_in=3_600)
    simulator.control.clear_requests()
    assert told(renewing(3, 1)) == ["1 1"] * 3
    assert renewals(simulator) == 1


def test_a_token_that_lasts_needs_neither_the_lock_nor_the_login(simulator, warehouse, signed_in):
    simulator.control.clear_requests()
    with psycopg.connect(warehouse.dsn, autocommit=True) as other:
        other.execute(LOCK)
        secrets = {hook().tokens.current().secret for _ in range(5)}
    assert len(secrets) == 1
    assert simulator.control.requests() == []


def test_a_renewal_without_a_warehouse_fails_and_a_sign_in_does_not(simulator, variables, monkeypatch, caplog):
    from tests.support.sign_in import sign_in

    monkeypatch.delenv("AIRFLOW_CONN_PARTNER_CENTER_DB", raising=False)
    report = sign_in(simulator)
    assert report.problem is None
    assert "kept without the lock" in caplog.text
    # Nothing that has to be renewed is, since nobody could tell whether another one does the same.
    with pytest.raises(ConfigurationError, match="partner_center_db"):
        hook().tokens.renew()


def test_a_lock_that_is_lost_while_the_login_answers_undoes_nothing(simulator, warehouse, signed_in, caplog):
    from partner_center import cache_lock

    with cache_lock.held("partner_center_token_cache"), psycopg.connect(warehouse.dsn, autocommit=True) as other:
        ended = other.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = "
            "(select oid from pg_database where datname = current_database())"
        ).fetchall()
    assert ended == [(True,)]
    assert "ended the connection that held the lock" in caplog.text
