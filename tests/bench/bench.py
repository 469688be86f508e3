"""`make bench`: what a sync of many referrals costs, as ratios to the floor measured in the same run.

Everything is real: embedded Postgres, the simulator over TLS, `airflow dags test`. A task's own time is its duration
less that of the same task over an empty account, which is Airflow's start and imports.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psycopg
import requests
from rich.console import Console
from rich.table import Table

from scripts.local_stack.airflow_home import choose_keys, migrating
from scripts.local_stack.plan import BIN, FLAG, LOCAL, LOGS, ROOT, WAREHOUSE, Plan, make_plan, only_one
from scripts.local_stack.postgres import warehouse
from scripts.local_stack.processes import adopt_orphans, end_orphans, signals_as_exceptions
from scripts.local_stack.sign_in import sign_in
from scripts.local_stack.simulator import Simulator, simulator

DAG = "partner_center_referral_sync"
TASKS = (
    "acquire_token",
    "fetch_pages",
    "filter_referrals",
    "extract_domains",
    "load_referrals",
    "verify_counts",
)
PYTHON = Path(sys.executable)
DATABASE = "partner_center_bench"
RATIO_LIMIT = 1.6
MEMORY_LIMIT_MIB = 60
IMPORT_LIMIT_SECONDS = 0.3


@dataclass(frozen=True)
class Run:
    """One run of the DAG: seconds of each task, peak memory of the whole process in MiB, and its counts."""

    seconds: dict[str, float]
    peak_mib: float
    counts: dict[str, Any]

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


class Bench:
    """The running parts, and what is measured on them."""

    def __init__(self, plan: Plan, sim: Simulator, console: Console) -> None:
        self.plan = plan
        self.sim = sim
        self.console = console
        self.dsn = database(plan)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = sim.ca

    def calls(self) -> int:
        """Return how many calls of the API have come in since `requests/clear`."""
        answer = self.session.get(f"{self.sim.url}/_sim/requests", timeout=300)
        answer.raise_for_status()
        return sum(call["path"].startswith("/v1.0/") for call in answer.json())

    def control(self, call: str, **body: Any) -> Any:
        answer = self.session.post(f"{self.sim.url}/_sim/{call}", json=body, timeout=300)
        answer.raise_for_status()
        return answer.json()

    def floor(self) -> float:
        token = self.control("token")
        token = token["access_token"] if isinstance(token, dict) else token
        command = [PYTHON, Path(__file__).with_name("floor.py"), self.sim.url, self.sim.ca, self.dsn]
        out = subprocess.run(
            command, env={**os.environ, "FLOOR_TOKEN": token}, check=True, capture_output=True, text=True
        )
        found = json.loads(out.stdout)
        self.console.print(f"  floor: {found['rows']} rows in {found['seconds']:.1f} s")
        return float(found["seconds"])

    def sync(self, what: str, mode: str = "full") -> Run:
        log = LOGS / "bench-run.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [BIN / "airflow", "dags", "test", DAG, "--conf", json.dumps({"mode": mode})],
                env=self.plan.environment,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            sys.exit(f"The run failed; see {log}.")
        run = Run(self._seconds(), usage.ru_maxrss / 1024, self._counts())
        self.console.print(f"  {what}: {run.total:.1f} s in tasks, peak {run.peak_mib:.0f} MiB")
        return run

    def forget_everything(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("drop schema public cascade; create schema public; analyze")

    def _seconds(self) -> dict[str, float]:
        with sqlite3.connect(self.plan.home / "airflow.db") as metadata:
            rows = metadata.execute(
                "select task_id, duration from task_instance where run_id = "
                "(select run_id from dag_run order by start_date desc limit 1)"
            )
            return dict(rows.fetchall())

    def _counts(self) -> dict[str, Any]:
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(
                "select to_jsonb(r) from partner_center_sync_runs r order by started_at desc limit 1"
            ).fetchone()
        return dict(row[0]) if row else {}


def database(plan: Plan) -> str:
    """Make the benchmark's own database on the plan's server and put it into the plan; return its DSN."""
    connection = json.loads(plan.environment[WAREHOUSE])
    server = {
        "host": connection["host"],
        "port": connection["port"],
        "user": connection["login"],
        "password": connection["password"],
    }
    with psycopg.connect(**server, dbname=connection["schema"], autocommit=True) as admin:
        admin.execute(f"drop database if exists {DATABASE}")
        admin.execute(f"create database {DATABASE}")
    plan.environment[WAREHOUSE] = json.dumps({**connection, "schema": DATABASE})
    return psycopg.conninfo.make_conninfo(**server, dbname=DATABASE)


def own_time(run: Run, empty: Run, tasks: Sequence[str] = TASKS) -> dict[str, float]:
    """Return each task's seconds less those over an empty account."""
    return {task: run.seconds[task] - empty.seconds[task] for task in tasks}


def over_an_empty_account(bench: Bench, repeats: int) -> Run:
    """Return what Airflow's start and imports take: the median of each task over an empty account."""
    bench.control("seed", dataset="empty")
    bench.sync("warm-up, empty account")
    empties = [bench.sync("empty account") for _ in range(repeats)]
    return Run(
        {task: statistics.median(each.seconds[task] for each in empties) for task in empties[0].seconds},
        max(each.peak_mib for each in empties),
        {},
    )


def measure(bench: Bench, rows: int, repeats: int) -> dict[str, Any]:
    """Run everything, the floor and the sync in turn, so that a machine whose speed drifts treats both alike."""
    empty = over_an_empty_account(bench, repeats)
    bench.control("seed", dataset="bulk:1000")
    bench.forget_everything()
    small = bench.sync("1,000 referrals")
    bench.control("seed", dataset=f"bulk:{rows}")
    pairs = []
    for number in range(repeats):
        floor = bench.floor() if number else min(bench.floor(), bench.floor())
        bench.forget_everything()
        pairs.append((floor, bench.sync(f"{rows:,} referrals, first load")))
    steady = bench.sync(f"{rows:,} referrals, nothing changed")
    return {"empty": empty, "small": small, "pairs": pairs, "steady": steady}


def import_seconds(environment: Mapping[str, str]) -> float:
    """Return what importing the DAG file takes above `import airflow.sdk`, the median of five fresh processes."""
    code = (
        "import time, airflow.sdk, runpy, sys; sys.path.insert(0, 'plugins'); t = time.perf_counter();"
        f"runpy.run_path('dags/{DAG}.py'); print(time.perf_counter() - t)"
    )
    runs = [
        subprocess.run([PYTHON, "-c", code], env=environment, cwd=ROOT, check=True, capture_output=True, text=True)
        for _ in range(5)
    ]
    return statistics.median(float(run.stdout.split()[-1]) for run in runs)


def show(console: Console, found: Mapping[str, Any], imports: float, rows: int) -> bool:
    """Print the table; return whether every limit was kept."""
    table = Table(title=f"{rows:,} referrals, 200 a page")
    for heading in ("", "floor s", *(task.replace("_", "\n") for task in TASKS), "own s", "own / floor"):
        table.add_column(heading, justify="right")
    ratios = []
    for number, (floor, run) in enumerate(found["pairs"], 1):
        own = own_time(run, found["empty"])
        ratios.append(sum(own.values()) / floor)
        cells = [f"{own[task]:.1f}" for task in TASKS]
        table.add_row(f"load {number}", f"{floor:.1f}", *cells, f"{sum(own.values()):.1f}", f"{ratios[-1]:.2f}")
    own = own_time(found["steady"], found["empty"])
    table.add_row("unchanged", "", *(f"{own[task]:.1f}" for task in TASKS), f"{sum(own.values()):.1f}", "")
    console.print(table)
    ratio = statistics.median(ratios)
    growth = max(run.peak_mib for _, run in found["pairs"]) - found["small"].peak_mib
    limits = [
        ("own time / floor, median", ratio, RATIO_LIMIT, "{:.2f}"),
        ("peak memory above that of 1,000 referrals, MiB", growth, MEMORY_LIMIT_MIB, "{:.0f}"),
        ("import of the DAG file above airflow.sdk, s", imports, IMPORT_LIMIT_SECONDS, "{:.2f}"),
    ]
    for name, value, limit, form in limits:
        verdict = "ok" if value <= limit else "TOO MUCH"
        console.print(f"{name}: {form.format(value)} (limit {form.format(limit)}): {verdict}")
    return all(value <= limit for _, value, limit, _ in limits)


@contextmanager
def running(console: Console) -> Iterator[Bench]:
    """Start what is measured, with somebody signed in; end it all."""
    plan = make_plan(dotenv=False)
    plan.environment["AIRFLOW_HOME"] = str(LOCAL / "bench" / "airflow")
    adopt_orphans()
    with signals_as_exceptions(), only_one(), ExitStack() as parts:
        choose_keys(plan)
        plan.choose(FLAG, "true")
        migrated = parts.enter_context(migrating(plan, PYTHON, enable=False))
        parts.enter_context(warehouse(plan))
        sim = parts.enter_context(simulator(plan, PYTHON, "empty"))
        migrated()
        if sim is None:
            sys.exit("The benchmark needs the simulator: unset AIRFLOW_CONN_PARTNER_CENTER_DEFAULT.")
        sign_in(plan, PYTHON, sim)
        yield Bench(plan, sim, console)
    end_orphans()


def main() -> int:
    """Measure and print; exit 1 when a limit was not kept."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--repeats", type=int, default=3)
    given = arguments.parse_args()
    console = Console(width=130)
    started = time.monotonic()
    with running(console) as bench:
        found = measure(bench, given.rows, given.repeats)
        imports = import_seconds(bench.plan.environment)
    kept = show(console, found, imports, given.rows)
    console.print(f"{time.monotonic() - started:.0f} s in all.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
