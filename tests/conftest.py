"""Fixtures over real parts: PostgreSQL, the simulator over TLS, Airflow in process; made when they are asked for.

Importing this file sets the environment (an empty AIRFLOW_HOME for each xdist worker, our DAGs and plugins, SQLite
metadata) and removes what the shell carries of Airflow, HUNTER_*, libpq and proxies. Import Airflow in fixtures and
tests only, never at the top of a test file: a unit test then pays for none of it.

- `airflow_home`: Airflow, imported and with a migrated metadata database. Ask for it before you import airflow.
- `variables`: the same, with no Airflow Variable in it; those that the test made are deleted afterwards.
- `postgres18`, `postgres15`: a server for the worker; 15 is skipped where the system has none.
- `warehouse`: an empty database of the test's own on PostgreSQL 18, and the connection `partner_center_db` to it:
  `.dsn`, `.connect()`, `.rows(sql)`, `.value(sql)`, `.execute(sql)` and more (support/warehouse.py).
  `make_warehouse(server, "locale_provider icu …")` gives one on another server, of another locale;
  `make_migrated(server)` one with the schema, for what is not about how that comes.
- `simulator`: Partner Center, reset for each test, with the data set `disaster`, and the connection
  `partner_center_default` to it. `simulator.control` has all the switches: `seed("awkward")`, `faults([...])`,
  `requests()`, `violations()`, … Its violations are checked at the end of a test; a test that expects one says so by
  `simulator.control.clear_violations()`.
- `signed_in`: somebody signed in at the simulator, through the package's own code.
- `flag_on`: the feature flag.
- `run_sync`: all of the above; `run_sync({"mode": "full"})` runs the DAG in process and returns a `Run` (state, counts,
  task_states, xcoms, run_id, log); `run_sync.clear(run, "load_referrals", downstream=True)` clears and runs again.
- `airflow`: all of Airflow as a process, with the real scheduler, over `simulator` and `airflow_warehouse`, without any
  Variable. It takes 40 s to start, so all tests share it: mark the module with `xdist_group("airflow")`.
- `short_waits`: the pauses between the attempts of one call (partner_center/retrying.py) take no time, by patching the
  `time` that tenacity.nap sees and nothing else; it is the list of the pauses that were asked for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import environment, groups

if TYPE_CHECKING:
    from simulator import Simulator
    from tests.support.postgres import Server
    from tests.support.runs import Runner, Tee
    from tests.support.standalone import Airflow
    from tests.support.telemetry_sinks import SpanSink, StatsdSink
    from tests.support.warehouse import Warehouse

HOME = environment.make_home()


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


QUICK_FIRST = ("unit", "simulator", "integration", "dags", "compose")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Quick tests first; of the others the longest first, so that no worker is left alone with one at the end.

    A group goes to a worker as a whole and takes minutes, so groups come right after the quick tests.
    """
    tests = environment.ROOT / "tests"

    def rank(item: pytest.Item) -> tuple[bool, bool, int, bool]:
        folder = QUICK_FIRST.index(item.path.relative_to(tests).parts[0])
        is_alone = item.get_closest_marker("xdist_group") is None
        return folder >= QUICK_FIRST.index("integration"), is_alone, folder, item.get_closest_marker("slow") is None

    items.sort(key=rank)
    groups.pytest_collection_modifyitems(config, items)


@pytest.fixture(scope="session")
def log_tee() -> Tee:
    """What Airflow's log goes through, once Airflow is imported."""
    from tests.support.runs import Tee

    return Tee()


@pytest.fixture(scope="session")
def airflow_home(log_tee: Tee) -> Any:
    """Airflow over a migrated metadata database; the path of its home."""
    import warnings

    environment.migrated_metadata(HOME)
    environment.no_waiting_for_disks()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Airflow and its providers warn of when they are imported
        import airflow.models
        import airflow.providers.postgres.hooks.postgres
        import airflow.sdk.execution_time.supervisor  # noqa: F401 - imported here for its warnings
    environment.statements_split_once()
    log_tee.install()
    return HOME


@pytest.fixture
def variables(airflow_home: Any) -> Iterator[None]:
    """No Variable but those of the test."""
    _delete_variables()
    yield
    _delete_variables()
    _forget_masked_tokens()


def _delete_variables() -> None:
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(Variable))


def _forget_masked_tokens() -> None:
    """Empty Airflow's masker: it compiles all secrets anew for each new one, in the end for seconds a sign-in."""
    from airflow._shared.secrets_masker import secrets_masker as of_core
    from airflow.sdk._shared.secrets_masker import secrets_masker as of_sdk

    for module in (of_core, of_sdk):
        module.reset_secrets_masker()


@pytest.fixture(scope="session")
def postgres18() -> Iterator[Server]:
    """PostgreSQL 18, from the wheel."""
    from tests.support import postgres

    yield from _running(postgres.embedded)


@pytest.fixture(scope="session")
def postgres15() -> Iterator[Server]:
    """PostgreSQL 15, as the system has it."""
    from tests.support import postgres

    yield from _running(lambda: postgres.system(15))


def _running(make: Callable[[], Server]) -> Iterator[Server]:
    from tests.support.postgres import NoServer

    try:
        server = make()
    except NoServer as reason:
        pytest.skip(str(reason))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def make_warehouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Warehouse]]:
    """Give a maker of empty databases; the last one is the connection `partner_center_db`."""
    from tests.support.warehouse import CONNECTION, Warehouse

    with ExitStack() as made:

        def make(server: Server, options: str = "", template: str = "template0") -> Warehouse:
            name = server.make_database(options, template)
            made.callback(server.drop_database, name)
            warehouse = Warehouse(server.dsn(name))
            monkeypatch.setenv(CONNECTION, warehouse.connection)
            return warehouse

        yield make


@pytest.fixture
def warehouse(make_warehouse: Callable[..., Warehouse], postgres18: Server) -> Warehouse:
    """An empty database on PostgreSQL 18, known to Airflow as `partner_center_db`."""
    return make_warehouse(postgres18)


@pytest.fixture(scope="session")
def migrated_templates(airflow_home: Any) -> dict[int, str]:
    """By port of a server, its database with the schema, once somebody has asked for it; use `make_migrated`."""
    return {}


@pytest.fixture
def make_migrated(
    make_warehouse: Callable[..., Warehouse], migrated_templates: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Server], Warehouse]:
    """Give a maker of databases with the schema: copies of one that was migrated, since revisions take longer."""
    from tests.support.warehouse import CONNECTION, Warehouse

    def make(server: Server) -> Warehouse:
        if server.port not in migrated_templates:
            from partner_center.warehouse import ensure_schema

            name = server.make_database()
            monkeypatch.setenv(CONNECTION, Warehouse(server.dsn(name)).connection)
            ensure_schema(environment.ROOT / "include" / "migrations", auto_migrate=True)
            migrated_templates[server.port] = name
        return make_warehouse(server, template=migrated_templates[server.port])

    return make


@pytest.fixture(scope="session")
def running_simulator_of_worker() -> Iterator[Simulator]:
    """The simulator's process-wide server; use `simulator`."""
    from simulator import Simulator

    with Simulator("empty") as running:
        yield running


@pytest.fixture
def simulator(running_simulator_of_worker: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Partner Center with the data set `disaster`, known to Airflow as `partner_center_default`."""
    simulator = running_simulator_of_worker
    simulator.control.reset("disaster")
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT", json.dumps(connection_to(simulator)))
    yield simulator
    assert simulator.control.violations() == []


def connection_to(simulator: Simulator) -> dict[str, Any]:
    """Return the Airflow connection that leads to a simulator."""
    return {
        "conn_type": "partner_center",
        "host": simulator.url,
        "extra": {
            "tenant_id": simulator.tenant,
            "client_id": simulator.client_id,
            "authority": simulator.authority,
            "instance_discovery": False,
            "verify": simulator.ca,
        },
    }


@pytest.fixture(scope="session")
def airflow_warehouse(postgres18: Server) -> Iterator[Warehouse]:
    """The database of `airflow`."""
    from tests.support.warehouse import Warehouse

    name = postgres18.make_database("")
    yield Warehouse(postgres18.dsn(name))
    postgres18.drop_database(name)


@pytest.fixture(scope="session")
def statsd_sink() -> Iterator[StatsdSink]:
    """Where `airflow` sends this package's metrics."""
    from tests.support.telemetry_sinks import StatsdSink

    with StatsdSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def span_sink() -> Iterator[SpanSink]:
    """Where `airflow` sends its spans."""
    from tests.support.telemetry_sinks import SpanSink

    with SpanSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def running_airflow(
    tmp_path_factory: pytest.TempPathFactory,
    airflow_warehouse: Warehouse,
    running_simulator_of_worker: Simulator,
    statsd_sink: StatsdSink,
    span_sink: SpanSink,
) -> Iterator[Airflow]:
    """All of Airflow; use `airflow`."""
    from tests.support.commands import contract_environment
    from tests.support.standalone import standalone

    home = tmp_path_factory.mktemp("airflow")
    environment.migrated_metadata(home)
    connections = {
        "partner_center_db": json.loads(airflow_warehouse.connection),
        "partner_center_default": connection_to(running_simulator_of_worker),
    }
    settings = contract_environment(home, f"sqlite:///{home}/airflow.db", connections)
    with standalone({**settings, **statsd_sink.settings, **span_sink.settings}, home) as running:
        yield running


@pytest.fixture
def airflow(running_airflow: Airflow, simulator: Simulator) -> Airflow:
    """All of Airflow, without any Variable."""
    running_airflow.delete_variables()
    return running_airflow


@pytest.fixture
def signed_in(variables: None, simulator: Simulator) -> None:
    """A person has signed in: the token cache stands in its Variable."""
    from tests.support.sign_in import sign_in

    sign_in(simulator)


@pytest.fixture
def flag_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feature flag, switched on."""
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "true")


@pytest.fixture(scope="session")
def sync_runner(airflow_home: Any, log_tee: Tee) -> Runner:
    """The DAG, ready to run; use `run_sync`, unless flag or sign-in are to be absent."""
    from tests.support.runs import Runner

    return Runner(environment.ROOT / "dags", log_tee)


@pytest.fixture
def run_sync(sync_runner: Runner, warehouse: Warehouse, simulator: Simulator, signed_in: None, flag_on: None) -> Runner:
    """Run the sync DAG in process, over everything it needs."""
    return sync_runner


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for between attempts; none was made."""
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=pauses.append))
    return pauses
