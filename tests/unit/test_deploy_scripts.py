"""The scripts of a deployment where there is no docker: what they refuse, and that a dry run shows every step still."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEPS = (
    "1 Checks", "2 Image", "3 Doctor", "4 Backup", "5 Migrations", "6 Services", "7 Health", "8 Smoke test", "Done",
)  # fmt: skip
NEEDED = (
    "bash", "git", "awk", "sed", "grep", "dirname", "basename", "find", "date", "cat", "sort", "head", "tr", "cut",
    "mkdir", "flock",
)  # fmt: skip


@pytest.fixture
def checkout(tmp_path):
    """A commit with the scripts, and a PATH without docker."""
    folder, commands = tmp_path / "checkout", tmp_path / "bin"
    folder.mkdir()
    commands.mkdir()
    for name in NEEDED:
        (commands / name).symlink_to(shutil.which(name))
    for name in ("scripts", "include", "docker-compose.yaml", ".gitignore"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *command], cwd=folder, check=True, timeout=60
        )
    return folder


def call(checkout, script, *arguments, **environment):
    environment["PATH"] = str(checkout.parent / "bin")
    return subprocess.run(
        [str(checkout / "scripts" / script), *arguments], env={"HOME": os.environ["HOME"], **environment}, timeout=60,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def files(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".git/" not in str(path)}


def test_a_dry_run_shows_every_step_and_what_would_stop_it(checkout):
    before = files(checkout)
    done = call(checkout, "deploy_production.sh", "--dry-run")
    shown = [line for line in done.stdout.splitlines() if line.startswith("== ")]
    assert [line.removeprefix("== ").startswith(step) for line, step in zip(shown, STEPS, strict=True)] == [True] * 9
    assert "NOT OK: docker is not installed." in done.stdout
    assert "would run: docker compose up -d" in done.stdout
    assert done.returncode == 1
    assert files(checkout) == before


@pytest.mark.parametrize("given", [{}, {"ENVIRONMENT": "production"}, {"FORCE_PRODUCTION": "yes"}])
def test_nothing_is_deployed_without_being_told_twice(checkout, given):
    before = files(checkout)
    done = call(checkout, "deploy_production.sh", **given)
    assert (done.returncode, "nobody has said that it may" in done.stdout) == (1, True)
    assert files(checkout) == before


def test_told_so_it_stops_at_the_first_check(checkout):
    done = call(checkout, "deploy_production.sh", ENVIRONMENT="production", FORCE_PRODUCTION="yes")
    assert (done.returncode, "error: docker is not installed." in done.stdout) == (1, True)
    assert "== 2" not in done.stdout


def test_what_is_not_committed_is_not_deployed(checkout):
    (checkout / "scripts" / "more.sh").write_text("")
    done = call(checkout, "deploy_production.sh", "--dry-run")
    assert "NOT OK: There are changes that are not committed" in done.stdout


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("deploy_production.sh", ["--nonsense"]),
        ("rollback.sh", ["--nonsense"]),
        ("rollback.sh", ["--to"]),
        ("rollback.sh", ["--to", "a", "--restore", "b"]),
    ],
)
def test_wrong_arguments_are_usage(checkout, script, arguments):
    assert call(checkout, script, *arguments).returncode == 2


@pytest.mark.parametrize("script", ["deploy_production.sh", "rollback.sh"])
def test_help_is_the_head_of_the_file(checkout, script):
    done = call(checkout, script, "--help")
    assert done.returncode == 0
    assert f"scripts/{script}" in done.stdout
    assert "set -euo" not in done.stdout


def test_a_dry_roll_back_changes_nothing(checkout):
    before = files(checkout)
    done = call(checkout, "rollback.sh", "--dry-run")
    assert (done.returncode, "partner_center_deployment.py flag off" in done.stdout) == (0, True)
    assert files(checkout) == before
