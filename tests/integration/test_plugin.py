"""The plugin as Airflow loads it: in every process, so at no cost; the app of the API server alone."""

import json
import os
import subprocess
import sys

from tests.support.environment import ROOT

LIMIT_SECONDS = 0.02
# As a task does: airflow.sdk is there already, and its plugins are asked for what tasks need.
AS_A_TASK = """
import json, sys, time
import airflow.sdk
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import plugins_manager
before, begun = set(sys.modules), time.process_time()
sys.path.insert(0, {plugins!r})
import partner_center_plugin
plugin = partner_center_plugin.PartnerCenterPlugin()
seconds = time.process_time() - begun
new = sorted(set(sys.modules) - before)
plugins_manager.integrate_macros_plugins()
plugins, errors = plugins_manager._get_plugins()
ours = [name for name in sys.modules if name.startswith("partner_center.ui")]
print(json.dumps([seconds, new, [each.name for each in plugins], errors, ours]))
"""


def test_a_task_pays_nothing_for_it(airflow_home):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AS_A_TASK.format(plugins=str(ROOT / "plugins"))],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seconds, new, plugins, errors, ours = json.loads(done.stdout.splitlines()[-1])
    assert new == ["partner_center_plugin"]
    assert seconds < LIMIT_SECONDS
    assert (plugins, errors, ours) == (["partner_center"], {}, [])


def test_airflow_finds_the_plugin_and_nothing_else(airflow_home):
    from airflow.plugins_manager import _get_plugins, get_fastapi_plugins

    plugins, errors = _get_plugins()
    assert errors == {}
    (plugin,) = [each for each in plugins if each.source is not None]
    (mounted,) = get_fastapi_plugins()[0]
    assert (plugin.name, mounted["url_prefix"], mounted["app"].title) == (
        "partner_center",
        "/partner-center",
        "Partner Center",
    )
    # With a url_route Airflow shows a page in a frame, where Microsoft's does not open.
    views = {(view["destination"], view["href"]): view.get("url_route") for view in plugin.external_views}
    assert views == {
        ("nav", "partner-center/"): "partner-center",
        ("dag", "partner-center/?dag={DAG_ID}"): "partner-center-dag",
        ("nav", "partner-center/sign-in"): None,
    }
