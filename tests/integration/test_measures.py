"""What a run tells Airflow's own metrics, over a real warehouse and a real StatsD socket."""

import json
import logging

import pytest

from tests.support.monitored import documented, gauges
from tests.support.telemetry_sinks import StatsdSink

AWAY = '{"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "password": "the secret word"}'
RUN = """
insert into partner_center_sync_runs
    (run_id, mode, direction, statuses, dry_run, state, started_at, finished_at, fetched, skipped, watermark)
values (
    %s, 'incremental', 'Incoming', '{New}', false, %s, now() - interval '70 seconds', now() - interval '60 seconds',
    %s, %s, now() - interval '600 seconds'
)
"""


@pytest.fixture
def sink():
    with StatsdSink() as made:
        yield made


@pytest.fixture
def switched(airflow_home, monkeypatch):
    """Set Airflow's metrics up as a task process does when it begins; they are off again afterwards."""
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics import stats_utils

    made = []

    def kept():
        made.append(stats_utils.get_stats_factory()())
        return made[-1]

    def to(settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        stats.initialize(factory=kept, export_legacy_names=False)

    yield to
    monkeypatch.undo()
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
    for each in made:
        if hasattr(each, "statsd"):
            each.statsd.close()


@pytest.fixture
def told(make_migrated, postgres18, sink, switched):
    """Write a run, tell how it ended, and return what StatsD has got."""
    from partner_center import measures
    from partner_center.runs import RunRequest
    from partner_center.warehouse import tables_of

    warehouse = make_migrated(postgres18)
    switched(sink.settings)

    def tell(state, *, mode="incremental", dry_run=False, account=None, fetched=7):
        from partner_center.accounts import DEFAULT

        with warehouse.connect() as connection:
            connection.execute(RUN, (f"{state} {fetched}", state, fetched, json.dumps({"status": 3})))
        request = RunRequest(f"{state} {fetched}", mode, "any", ("New",), None, dry_run, account=account or DEFAULT)
        with tables_of(DEFAULT):
            measures.tell(request)
        return sink.taken()

    return tell


def test_a_run_that_succeeded_and_one_that_failed_after_it(told):
    first = gauges(told("success"))
    assert (first["last_run.succeeded"], first["runs.success"], first["last_run.fetched"]) == (1, 1, 7)
    assert first["last_run.skipped.status"] == 3
    assert first["last_run.duration_seconds"] == 10
    assert 60 <= first["last_success_age_seconds"] < 90
    assert 600 <= first["watermark_age_seconds"] < 630
    assert first["quarantine_open_rows"] == 0
    then = gauges(told("failed", fetched=8))
    assert (then["last_run.succeeded"], then["runs.failed"], then["last_run.fetched"]) == (0, 1, 8)
    assert 60 <= then["last_success_age_seconds"] < 90
    listed = {
        name.replace("<reason>", "status").replace("<state>", "failed") for name in documented("Airflow's own metrics")
    }
    assert {f"partner_center.{name}" for name in then} <= listed


def test_a_skipped_run_leaves_the_figures_of_the_last_one(told):
    told("success")
    assert set(gauges(told("skipped"))) == {
        "last_success_age_seconds", "watermark_age_seconds", "quarantine_open_rows", "runs.skipped",
    }  # fmt: skip


def test_no_age_before_anything_has_succeeded(told):
    assert set(gauges(told("skipped"))) == {"quarantine_open_rows", "runs.skipped"}


@pytest.mark.parametrize("kind", [{"mode": "replay"}, {"dry_run": True}])
def test_a_replay_and_a_dry_run_tell_nothing(told, kind):
    assert told("success", **kind) == []


def test_another_account_has_names_of_its_own(told):
    from partner_center.accounts import Account

    lines = told("success", account=Account("partner_center_emea"))
    assert len(lines) > 5
    assert [line for line in lines if not line.startswith("airflow.partner_center__emea.")] == []


def test_the_account_is_a_tag_where_tags_are_known(told, switched):
    switched({"AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True"})
    lines = told("success")
    assert "airflow.partner_center.last_run.fetched,connection=partner_center_default:7.0|g" in lines


def test_switched_off_nothing_is_read(told, switched, sink, monkeypatch, caplog):
    switched({"AIRFLOW__METRICS__STATSD_ON": "False"})
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", AWAY)
    with caplog.at_level(logging.INFO):
        assert told("success") == []
    assert caplog.messages == []


def test_a_warehouse_that_is_away_fails_no_run(told, monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", AWAY)
    assert told("success") == []
    assert "the run itself is not changed by that" in caplog.text
    assert "the secret word" not in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"AIRFLOW__METRICS__STATSD_HOST": "no-such-host.invalid"},
        {"AIRFLOW__METRICS__STATSD_PORT": "1"},
    ],
)
def test_a_server_that_is_away_fails_no_run(told, switched, settings):
    switched(settings)
    told("success")


# Lineage


@pytest.fixture
def collector(airflow_home, monkeypatch):
    """Airflow's collector, as it is where some plugin asks for lineage."""
    from airflow.sdk import lineage

    collector = lineage.HookLineageCollector()
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    return collector


def test_lineage_of_a_run(run_sync, warehouse, simulator, collector):
    assert run_sync().state == "success"
    found = collector.collected_assets
    api = f"partner-center://{simulator.url.removeprefix('https://')}/partner_center_default/referrals"
    with warehouse.connect() as connection:
        at = connection.info
        tables = f"postgres://{at.host}:{at.port}/{at.dbname}/public/"
    staged, referrals = f"{tables}partner_center_staged", f"{tables}partner_center_referrals"
    assert {each.asset.uri for each in found.inputs} == {api, staged, referrals}
    assert {each.asset.uri for each in found.outputs} == {staged, referrals}


@pytest.mark.parametrize(("dry_run", "written"), [("True", 0), ("False", 1)])
def test_a_dry_run_has_written_no_referrals(warehouse, collector, dry_run, written):
    from partner_center.operators import LoadReferralsOperator

    load = LoadReferralsOperator(task_id="load", parameters={"dry_run": dry_run})
    with warehouse.connect() as connection:
        load.tell_lineage(connection)
    assert len(collector.collected_assets.outputs) == written


def test_the_address_of_a_table_is_one_also_of_a_socket_and_an_odd_name():
    from types import SimpleNamespace

    from partner_center.accounts import Account
    from partner_center.lineage import table_uri

    server = SimpleNamespace(host="/run/postgresql", port=5432, dbname="a b/c")
    found = table_uri(server, Account("partner_center_emea"), "partner_center_referrals")
    assert found == "postgres://localhost:5432/a%20b%2Fc/partner_center_emea/partner_center_referrals"


def test_the_asset_in_the_graph_has_no_uri_of_its_own(airflow_home):
    from tests.support.environment import ROOT
    from tests.support.runs import load_dag

    dag = load_dag(ROOT / "dags")
    (emitted,) = dag.task_dict["verify_counts"].outlets
    (read,) = dag.task_dict["fetch_pages"].inlets
    # Whoever is scheduled on Asset("partner_center_referrals") waits for exactly this pair.
    assert (emitted.name, emitted.uri) == ("partner_center_referrals", "partner_center_referrals")
    assert (read.name, read.uri) == ("partner_center_referrals_api", "partner_center_referrals_api")
