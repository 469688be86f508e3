"""Both DAGs under the real scheduler, workers, triggerer and API server: `dag.test()` allows what they do not."""

from __future__ import annotations

import re
from contextlib import suppress

import psutil
import pytest

from tests.dags.test_secrets import files_below, texts_of_sqlite
from tests.support import monitored
from tests.support.environment import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("airflow")]

SYNC, SIGN_IN = "partner_center_referral_sync", "partner_center_sign_in"
SQL = ROOT / "include" / "sql" / "sync"
DISASTER = {
    "mode": "full",
    "fetched": 250,
    "duplicates": 0,
    "quarantined": 0,
    "eligible": 88,
    "skipped": {"status": 162},
    "closed": 0,
    "with_domain": 38,
    "without_domain": 50,
    "inserted": 88,
    "updated": 0,
    "unchanged": 0,
    "persisted": 88,
}


def traces(airflow):
    """Return all that Airflow leaves behind as pairs of a place and a text."""
    arguments = []
    for process in psutil.Process(airflow.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            arguments.append(" ".join(process.cmdline()))
    home = airflow.home
    return [*texts_of_sqlite(home / "airflow.db"), *files_below(home), *(("process", each) for each in arguments)]


def sign_in_from_the_ui(airflow, simulator):
    """Sign in by the DAG; return what Airflow had left behind while it waited for the person.

    It waits in the triggerer: no worker and no slot of a pool is taken.
    """
    run_id = airflow.trigger(SIGN_IN)
    airflow.wait_for_task(SIGN_IN, run_id, "sign_in", "deferred")
    pool = airflow.call("GET", "pools/default_pool")
    assert (pool["occupied_slots"], pool["deferred_slots"]) == (0, 1)
    shown = airflow.log(SIGN_IN, run_id, "sign_in")
    code = re.search(r"Code: (\w+)", shown)[1]
    assert f"Open {simulator.url}/device" in shown
    links = airflow.call("GET", f"dags/{SIGN_IN}/dagRuns/{run_id}/taskInstances/sign_in/links")
    assert links["extra_links"] == {"Sign in at Microsoft": f"{simulator.url}/device#{code}"}
    while_waiting = traces(airflow)
    simulator.control.approve(code)
    assert airflow.wait(SIGN_IN, run_id) == "success"
    shown = airflow.log(SIGN_IN, run_id, "sign_in")
    assert "Signed in as s***@partner.example in the tenant" in shown
    assert "lets this account read referrals" in shown
    return while_waiting


def test_switched_off_then_signed_in_then_synced_then_cleared(
    airflow, simulator, airflow_warehouse, statsd_sink, span_sink, tmp_path
):
    from partner_center.operators import LoadReferralsOperator

    statsd_sink.taken()  # of tests before this one

    # The flag is off by default, and off means no call at all.
    run_id = airflow.trigger(SYNC)
    assert airflow.wait(SYNC, run_id) == "success"
    assert {task["state"] for task in airflow.tasks(SYNC, run_id).values()} == {"skipped"}
    assert simulator.control.requests() == []

    # Switched on without a restart; nobody is signed in.
    airflow.call("POST", "variables", {"key": "partner_center_enabled", "value": "true"})
    run_id = airflow.trigger(SYNC)
    assert airflow.wait(SYNC, run_id) == "success"
    assert airflow.tasks(SYNC, run_id)["acquire_token"]["state"] == "skipped"
    assert "sign_in_required" in airflow.log(SYNC, run_id, "acquire_token")

    while_waiting = sign_in_from_the_ui(airflow, simulator)

    # A bad param is refused by the API.
    with pytest.raises(AssertionError, match=r"400 .*max_pages"):
        airflow.trigger(SYNC, {"max_pages": 0})

    # The sync: every row accounted for.
    run_id = airflow.trigger(SYNC)
    assert airflow.wait(SYNC, run_id) == "success"
    assert airflow.counts(SYNC, run_id, "verify_counts") == DISASTER
    assert airflow_warehouse.value("select count(*) from partner_center_referrals") == 88
    assert "fetched 250" in airflow.log(SYNC, run_id, "verify_counts")
    monitored.assert_metrics(statsd_sink, DISASTER)
    monitored.assert_log_fields(airflow, run_id, DISASTER)
    monitored.assert_spans(span_sink, run_id, DISASTER)
    monitored.assert_token_renewed(airflow, tmp_path)
    rendered = {task_id: task["rendered_fields"] for task_id, task in airflow.tasks(SYNC, run_id).items()}
    assert rendered["filter_referrals"]["sql"].strip() == (SQL / "filter_referrals.sql").read_text().strip()
    for field, file in LoadReferralsOperator.FILES.items():
        assert rendered["load_referrals"][field].strip() == (SQL / file).read_text().strip()

    # Cleared with what follows: the same table, the same counts.
    before = airflow_warehouse.versions()
    body = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["load_referrals"], "include_downstream": True}
    airflow.call("POST", f"dags/{SYNC}/clearTaskInstances", {**body, "only_failed": False, "reset_dag_runs": True})
    assert airflow.wait(SYNC, run_id) == "success"
    assert airflow.tasks(SYNC, run_id)["verify_counts"]["try_number"] == 2
    assert airflow.counts(SYNC, run_id, "verify_counts") == DISASTER
    assert airflow_warehouse.versions() == before

    # No token, and no device code, anywhere: logs of all components, each table of the metadata (XCom, rendered fields,
    # triggers, the audit log, ...), arguments of processes; nor while somebody was waited for.
    issued = simulator.control._state.tokens
    secrets = {*issued.access, *issued.refresh, *issued.device}
    assert len(secrets) >= 3
    found = [*while_waiting, *traces(airflow)]
    assert {place for place, text in found if run_id in text} >= {"dag_run", "log", "rendered_task_instance_fields"}
    assert {"trigger", "process"} <= {place for place, _ in while_waiting}
    assert {place for place, text in found if any(secret in text for secret in secrets)} == set()

    # The form of the connection, from the provider's entry point; and nothing failed to import.
    assert airflow.call("GET", "importErrors")["total_entries"] == 0
    assert airflow.call("GET", "plugins/importErrors")["total_entries"] == 0
    providers = airflow.call("GET", "providers?limit=200")["providers"]
    assert "airflow-provider-partner-center" in {provider["package_name"] for provider in providers}
