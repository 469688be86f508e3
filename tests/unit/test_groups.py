"""All of Airflow takes half a minute to start: tests that share one must not find themselves in two workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.environment import ROOT

MODULE = """
import os, time
from pathlib import Path
import pytest

def note(group):
    worker = os.environ["PYTEST_XDIST_WORKER"]
    Path(__file__).with_name(f"{group} {worker}").touch()
    time.sleep(0.05)

@pytest.mark.parametrize("case", ["x", "y@z", "[]"])
@pytest.mark.xdist_group("shared")
def test_shared(case):
    note("shared")

@pytest.mark.parametrize("case", range(9))
def test_alone(case):
    note("alone")
"""


def test_tests_of_one_group_go_to_one_worker_and_others_to_both(tmp_path: Path) -> None:
    for name in ("test_one.py", "test_other.py"):
        (tmp_path / name).write_text(MODULE, encoding="utf-8")
    (tmp_path / "pytest.ini").touch()
    arguments = ["-q", "-p", "tests.support.groups", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "24 passed" in done.stdout, done.stdout
    ran = [path.name.split()[0] for path in tmp_path.glob("* gw*")]
    assert (ran.count("shared"), ran.count("alone")) == (1, 2)
