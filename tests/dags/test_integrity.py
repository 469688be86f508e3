"""The DAG as Airflow sees it: names, order, schedule, params, and that parsing it costs nothing."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import ROOT
from tests.support.runs import DAG_ID, TASKS

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow's parser warns of itself

DAGS = ROOT / "dags"
PLUGINS = ROOT / "plugins"
PROBE = ROOT / "tests" / "support" / "probe.py"
IMPORT_LIMIT_SECONDS = 0.3


@pytest.fixture
def bag(airflow_home: Any) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(DAGS))


@pytest.fixture
def dag(bag: Any) -> Any:
    return bag.dags[DAG_ID]


def test_no_import_errors(bag: Any) -> None:
    assert bag.import_errors == {}


def test_exactly_these_dags(bag: Any) -> None:
    assert sorted(bag.dags) == [
        DAG_ID,
        "partner_center_replay_quarantine",
        "partner_center_sign_in",
        "partner_center_watch",
    ]


def test_the_six_tasks_stand_in_this_order(dag: Any) -> None:
    assert [task.task_id for task in dag.topological_sort()] == [*TASKS, "close_run"]
    followers = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    assert followers == {
        "acquire_token": {"fetch_pages"},
        "fetch_pages": {"filter_referrals"},
        "filter_referrals": {"extract_domains"},
        "extract_domains": {"load_referrals"},
        "load_referrals": {"verify_counts"},
        "verify_counts": {"close_run"},
        "close_run": set(),
    }
    # How the run's row is closed does not decide how the run ended.
    assert dag.task_dict["close_run"].is_teardown
    assert not dag.task_dict["close_run"].on_failure_fail_dagrun


def test_every_600_seconds_by_default(dag: Any) -> None:
    assert dag.schedule == timedelta(seconds=600)


@pytest.mark.parametrize(("given", "seconds"), [("900", 900), ("60", 60), ("", 600)])
def test_the_interval_is_read_from_the_environment(
    airflow_home: Any, monkeypatch: pytest.MonkeyPatch, given: str, seconds: int
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("HUNTER_PARTNER_CENTER_SYNC_INTERVAL", given)
    assert DagBag(dag_folder=str(DAGS)).dags[DAG_ID].schedule == timedelta(seconds=seconds)


def test_no_catchup_and_one_run_at_a_time(dag: Any) -> None:
    assert dag.catchup is False
    assert dag.max_active_runs == 1


def test_owner_and_tags(dag: Any) -> None:
    assert {task.owner for task in dag.tasks} == {"sales-operations"}
    assert dag.tags == {"partner-center", "sync"}


def test_every_task_is_retried_and_ends(dag: Any) -> None:
    for task in dag.tasks:
        assert task.retries >= 2, task.task_id
        assert task.retry_policy is not None, task.task_id
        assert timedelta() < task.execution_timeout <= dag.dagrun_timeout, task.task_id
    from partner_center.runs import LONGEST_RUN

    assert dag.dagrun_timeout == LONGEST_RUN


def test_dag_and_tasks_are_documented(dag: Any) -> None:
    for task_id in TASKS:
        assert f"`{task_id}`" in dag.doc_md, task_id
    for part in ("Triage notes", "partner_center_enabled", "Clear and re-run"):
        assert part in dag.doc_md
    for task in dag.tasks:
        assert len(task.doc_md or "") > 30, task.task_id


def test_the_defaults_of_the_params(dag: Any) -> None:
    assert dag.params.dump() == {
        "mode": "incremental",
        "direction": "Incoming",
        "statuses": ["New", "Active"],
        "max_pages": None,
        "dry_run": False,
    }


def accepted(dag: Any, conf: dict[str, Any]) -> bool:
    """Validate a run's conf as the form and the API do: over the stored form of the DAG."""
    from airflow.exceptions import ParamValidationError
    from airflow.serialization.serialized_objects import DagSerialization

    params = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).params
    try:
        params.deep_merge(conf).validate()
    except (ParamValidationError, ValueError):
        return False
    return True


GOOD = {
    "mode": ("incremental", "full"),
    "direction": ("Incoming", "Outgoing", "any"),
    "statuses": (["New"], ["Active", "New"], ["New", "Active", "Closed"]),
    "max_pages": (None, 1, 5_000),
    "dry_run": (True, False),
}
BAD = {
    "mode": ("partial", "Full", "", None, 1),
    "direction": ("incoming", "Both", "", None, ["Incoming"]),
    "statuses": ([], "New", [""], ["New", "New"], [1], [None], None, {"New": True}),
    "max_pages": (0, -1, 1.5, "3", True, [1]),
    "dry_run": ("yes", "true", 1, None),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_value_is_accepted(dag: Any, name: str) -> None:
    assert [value for value in GOOD[name] if not accepted(dag, {name: value})] == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused(dag: Any, name: str) -> None:
    assert [value for value in BAD[name] if accepted(dag, {name: value})] == []


def probe(what: str, file: Path, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, str(PROBE), what, str(file)],
        env={**os.environ, "PYTHONPATH": str(PLUGINS), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_io_at_parse_time(airflow_home: Any) -> None:
    assert probe("audit", DAGS / "partner_center_referral_sync.py") == []


def test_io_at_parse_time_would_be_seen(airflow_home: Any, tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text(
        "import os, socket, subprocess\n"
        "open('/proc/self/status').close()\n"
        "socket.socket().connect_ex(('127.0.0.1', 9))\n"
        "subprocess.run(['true'])\n"
        "os.listdir('/')\n"
    )
    seen = {what.split()[0] for what in probe("audit", file)}
    assert seen >= {"open", "socket.connect", "subprocess.Popen", "os.listdir"}


def test_parsing_costs_little_more_than_airflow_sdk(airflow_home: Any) -> None:
    seconds = probe("time", DAGS / "partner_center_referral_sync.py")
    assert len(seconds) == 5
    assert 0 < statistics.median(seconds) <= IMPORT_LIMIT_SECONDS, seconds


LOAD_PLUGINS = """
import json, sys, warnings
warnings.simplefilter("ignore")
import airflow.sdk, airflow.models
before = {name: id(module) for name, module in sys.modules.items()}
from airflow import plugins_manager
plugins_manager.ensure_plugins_loaded()
errors = plugins_manager.get_import_errors()
replaced = [name for name, module in sys.modules.items() if name in before and id(module) != before[name]]
stray = [
    name for name, module in sys.modules.items()
    if "." not in name and name != "partner_center" and "/partner_center/" in str(getattr(module, "__file__", None))
]
print(json.dumps({"errors": errors, "replaced": replaced, "stray": stray}))
"""


def load_plugins(folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", LOAD_PLUGINS],
        env={**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_plugins_folder_loads_and_clobbers_nothing(airflow_home: Any) -> None:
    assert load_plugins(PLUGINS) == {"errors": {}, "replaced": [], "stray": []}


def test_airflowignore_is_what_keeps_the_library_out_of_the_plugin_loader(airflow_home: Any, tmp_path: Path) -> None:
    assert "partner_center/" in (PLUGINS / ".airflowignore").read_text(encoding="utf-8").split()
    without = tmp_path / "plugins"
    shutil.copytree(PLUGINS, without, ignore=shutil.ignore_patterns(".airflowignore", "__pycache__"))
    assert len(load_plugins(without)["stray"]) > 10


def test_no_module_of_ours_is_named_like_one_of_the_standard_library() -> None:
    names = {path.stem for folder in (DAGS, PLUGINS) for path in folder.rglob("*.py")}
    assert names & sys.stdlib_module_names == set()
