"""Nothing that goes away with the next Airflow: parsing DAGs, plugin and library warns of nothing."""

from __future__ import annotations

import subprocess
import sys

from tests.support.commands import contract_environment
from tests.support.environment import ROOT

# Airflow and the providers are imported before, since their own warnings are not ours. What a function imports late is
# imported here, too.
SCRIPT = """
import ast, importlib, importlib.util, sys, warnings
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import airflow.sdk
    import airflow.plugins_manager
    import airflow.providers.postgres.hooks.postgres
    import airflow.providers.http.hooks.http
    from airflow.utils.deprecation_tools import DeprecatedImportWarning
    from airflow.exceptions import RemovedInAirflow4Warning
    import airflow.api_fastapi.app

assert issubclass(RemovedInAirflow4Warning, DeprecationWarning)
heard = []
warnings.simplefilter("always")
warnings.showwarning = lambda message, category, file, line, *_: heard.append((category, str(message), file))
paths = sorted(Path(sys.argv[1]).glob("dags/*.py")) + [Path(sys.argv[1], "plugins", "partner_center_plugin.py")]
library = Path(sys.argv[1], "plugins", "partner_center")
paths += sorted(path for path in library.rglob("*.py"))
for path in paths:
    if library in path.parents:
        __import__(".".join(path.relative_to(library.parent).with_suffix("").parts).removesuffix(".__init__"))
    else:
        spec = importlib.util.spec_from_file_location(f"parsed_{path.stem}", path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
names = set()
for path in paths:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "airflow":
            names |= {(node.module, alias.name) for alias in node.names}
for module, name in sorted(names):
    try:
        getattr(importlib.import_module(module), name)
    except AttributeError:
        importlib.import_module(f"{module}.{name}")
print(len(paths), len(names))
for category, message, file in heard:
    if issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)):
        print(category.__name__, message, file)
"""


def test_dags_plugin_and_library_use_nothing_that_goes_away(tmp_path):
    environment = contract_environment(tmp_path, f"sqlite:///{tmp_path}/airflow.db", {})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT)],
        env={**environment, "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    first, *warned = done.stdout.splitlines()
    files, names = map(int, first.split())
    assert files > 60
    assert names > 20
    assert warned == []
