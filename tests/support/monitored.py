"""What docs/monitoring.md lists, and what a run under the real scheduler has told those who watch it."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.support.environment import ROOT
from tests.support.standalone import PASSWORD

if TYPE_CHECKING:
    from tests.support.standalone import Airflow
    from tests.support.telemetry_sinks import SpanSink, StatsdSink

DOCUMENT = ROOT / "docs" / "monitoring.md"
RENEW = ROOT / "deploy" / "monitoring" / "renew-token.sh"
SYNC = "partner_center_referral_sync"


def documented(section: str) -> dict[str, set[str]]:
    """Return the metrics in a section's table, with their labels."""
    text = DOCUMENT.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = {}
    for row in re.findall(r"^\| `(.+?)` \|(.*)\|$", text, re.MULTILINE):
        *_, labels, _told = row[1].split(" | ")
        found[row[0]] = set(re.findall(r"`(\w+)`", labels))
    return found


def gauges(lines: list[str], prefix: str = "airflow.partner_center.") -> dict[str, float]:
    """Return what StatsD was told last, by the name behind the prefix."""
    told = (re.fullmatch(r"(.+):(-?[\d.]+)\|[gc]", line) for line in lines if line.startswith(prefix))
    return {line[1].removeprefix(prefix): float(line[2]) for line in told if line}


def assert_metrics(sink: StatsdSink, counts: Mapping[str, Any]) -> None:
    """Airflow's own metrics have got the counts of the run that has just succeeded, and of the skipped ones before."""
    told = gauges(sink.taken())
    assert {f"partner_center.{name}" for name in told} == {
        name.replace("<reason>", "status").replace("<state>", state)
        for name in documented("Airflow's own metrics")
        for state in ("success", "skipped")
    }
    numbers = {name: value for name, value in counts.items() if name not in {"mode", "skipped"}}
    assert {name: told[f"last_run.{name}"] for name in numbers} == numbers
    assert told["last_run.skipped.status"] == counts["skipped"]["status"]
    assert (told["last_run.succeeded"], told["runs.success"]) == (1, 1)
    assert 0 < told["last_run.duration_seconds"] < 100
    assert 0 <= told["last_success_age_seconds"] < 100


def assert_log_fields(airflow: Airflow, run_id: str, counts: Mapping[str, Any]) -> None:
    """Each line of ours says which account and run it is of, the one with the counts has each as a field."""
    for task, logger in (
        ("fetch_pages", "partner_center.steps"),
        ("load_referrals", "airflow.task.operators.partner_center.operators.LoadReferralsOperator"),
        ("verify_counts", "partner_center.steps"),
    ):
        lines = [line for line in airflow.log_lines(SYNC, run_id, task) if line.get("logger") == logger]
        assert lines
        expected = {"connection": "partner_center_default", "asked_mode": "incremental", "run_id": run_id}
        expected |= {"dag_id": SYNC, "task_id": task}
        assert [line for line in lines if not expected.items() <= line.items()] == []
    (last,) = (line for line in lines if "fetched" in line)
    assert {name: last[name] for name in counts if name != "skipped"} | {"skipped": counts["skipped"]} == counts | {
        "skipped": {"status": last["skipped.status"]}
    }


def assert_spans(sink: SpanSink, run_id: str, counts: Mapping[str, Any]) -> None:
    """The span that Airflow has opened for the task has got the counts."""
    until = time.monotonic() + 20
    while "worker.verify_counts" not in (spans := sink.spans(run_id)) and time.monotonic() < until:
        time.sleep(0.1)
    span = spans["worker.verify_counts"]
    assert span["partner_center.connection"] == "partner_center_default"
    numbers = {f"partner_center.{name}": value for name, value in counts.items() if name != "skipped"}
    assert {name: span[name] for name in numbers} == numbers
    assert span["partner_center.skipped.status"] == counts["skipped"]["status"]


def assert_token_renewed(airflow: Airflow, folder: Path) -> None:
    """The script that cron calls writes a token that opens the Prometheus route, and keeps it when it gets no other."""
    if shutil.which("curl") is None:
        return
    token, login = folder / "scrape.token", folder / "scrape.login.json"
    login.write_text(json.dumps({"username": "admin", "password": PASSWORD}), encoding="utf-8")

    def renew() -> int:
        settings = {"PATH": os.defpath, "AIRFLOW_URL": airflow.url, "LOGIN": str(login), "TOKEN": str(token)}
        return subprocess.run([RENEW], env=settings, capture_output=True, timeout=60, check=False).returncode

    assert renew() == 0
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    kept = token.read_text(encoding="utf-8").strip()
    answer = requests.get(
        f"{airflow.url}/partner-center/metrics", headers={"Authorization": f"Bearer {kept}"}, timeout=30
    )
    assert 'partner_center_enabled{connection="partner_center_default"} 1.0' in answer.text
    login.write_text('{"username": "admin", "password": "another"}', encoding="utf-8")
    assert renew() != 0
    assert token.read_text(encoding="utf-8").strip() == kept
    assert sorted(path.name for path in folder.glob("scrape*")) == ["scrape.login.json", "scrape.token"]
