"""`make bench-scale`: what an incremental sync costs beside stocks of 10,000 to 1,000,000 stored referrals.

Everything is real, as in bench.py. The stock is filled straight into the warehouse; the simulator holds what has
changed alone, since an incremental run asks for nothing else. A week of earlier runs stands beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psycopg
from rich.console import Console
from rich.table import Table

from tests.bench.bench import TASKS, Bench, Run, over_an_empty_account, own_time, running

ALL_TASKS = (*TASKS, "close_run")
STOCKS = (10_000, 100_000, 1_000_000)
CHANGES = (0, 100, 10_000)
STEADY_LIMIT_SECONDS = 1.5
RATIO_LIMIT = 1.3
# Own times are differences of durations that vary by so much between two equal runs: below, a ratio says nothing.
NOISE_SECONDS = 0.5
RUNS_OF_A_WEEK = 7 * 24 * 6

# Copies of one referral that a real run has stored, of some 2 kB, each with an id, a domain and times of its own.
FILL = """
insert into partner_center_referrals
select filled.*
from partner_center_referrals as model
cross join generate_series(%(first)s::integer, %(last)s::integer) as n
cross join lateral (select md5(n::text)::uuid::text as id, 'customer-' || n || '.example.com' as domain) as own
cross join lateral jsonb_populate_record(
    model,
    jsonb_build_object(
        'referral_id', own.id, 'domain', own.domain, 'updated_at', model.updated_at - n * interval '1 second',
        'domain_candidates', jsonb_build_array(jsonb_build_object('domain', own.domain, 'source', 'email')),
        'content_hash', '\\x' || md5(own.id),
        'raw_data', replace(replace(model.raw_data::text, model.referral_id, own.id), model.domain, own.domain)::jsonb
    )
) as filled
where
    model.referral_id = (
        select min(referral_id) from partner_center_referrals where domain is not null and status = 'New'
    )
"""
FILL_BESIDE = """
insert into partner_center_referral_history (referral_id, changed_at, run_id, field, old_value, new_value)
select md5(n::text)::uuid::text, now() - n * interval '1 second', 'earlier', changed.field, 'before', 'after'
from generate_series(%(first)s::integer, %(last)s::integer) as n
cross join (values ('name'), ('substatus')) as changed (field);

insert into partner_center_companies (domain, names, countries, first_seen_at, last_seen_at)
select 'customer-' || n || '.example.com', '{Customer}', '{FI}', now(), now()
from generate_series(%(first)s::integer, %(last)s::integer) as n;

insert into partner_center_skipped (referral_id, reason, rule_version, first_seen_at, last_seen_at, last_run_id)
select md5('skipped ' || n)::uuid::text, 'status', 1, now(), now(), 'earlier'
from generate_series(%(first)s::integer, %(last)s::integer) as n
"""
EARLIER_RUN = """
insert into partner_center_sync_runs (
    run_id, mode, direction, statuses, dry_run, started_at, read_at, loaded_at, finished_at, state, scope, strategy
)
select
    %(earlier)s, 'incremental', direction, statuses, false, started_at - back, read_at - back, loaded_at - back,
    finished_at - back, 'success', scope, 'filter'
from partner_center_sync_runs
cross join cast(%(back)s as interval) as back
where run_id = %(run_id)s
"""
# Autovacuum, too, leaves the partitioned tables of the staging alone.
STOCKED = (
    "partner_center_referrals",
    "partner_center_referral_history",
    "partner_center_companies",
    "partner_center_skipped",
    "partner_center_sync_runs",
)
STAGING = ("partner_center_staged", "partner_center_staged_payloads", "partner_center_staged_domains")
# Blocks that the sessions asked for, from wherever they came; what autovacuum does meanwhile is not theirs.
BLOCKS = "select sum(hits + coalesce(read_bytes, 0) / 8192) from pg_stat_io where backend_type = 'client backend'"
WRITTEN = "select count(*) from partner_center_referrals where xmin::text::bigint >= %s"


@dataclass(frozen=True)
class Case:
    """A stock, and how many of its referrals change before each run."""

    stock: int
    changes: int

    def __str__(self) -> str:
        return f"{self.stock:,} stored, {f'{self.changes:,} changed' if self.changes else 'nothing new'}"


@dataclass(frozen=True)
class Measured:
    """One run: each task's own seconds, calls of the API, rows written to the table, blocks of the database."""

    own: dict[str, float]
    calls: int
    written: int
    blocks: int

    @property
    def seconds(self) -> float:
        return sum(self.own.values())


class Warehouse:
    """The benchmark's database, filled and looked at."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self.filled = 0

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        row = self._connection.execute(sql, parameters).fetchone()
        return int(row[0]) if row else 0

    def fill_up_to(self, stock: int) -> None:
        """Add referrals and what stands beside them until there are so many, as autovacuum would leave them."""
        between = {"first": self.filled + 1, "last": stock}
        self._connection.execute(FILL, between)
        for statement in FILL_BESIDE.split(";"):
            self._connection.execute(statement, between)
        self._connection.execute(f"vacuum (analyze) {', '.join(STOCKED)}")
        self.filled = stock

    def fill_runs(self, run_id: str, count: int) -> None:
        """Add earlier runs, a run each 10 minutes before this one, with the staging that is kept for a week."""
        for number in range(1, count + 1):
            earlier = f"earlier__{number}"
            back = f"{number * 10} minutes"
            self._connection.execute(EARLIER_RUN, {"run_id": run_id, "earlier": earlier, "back": back})
            for parent in STAGING:
                self._connection.execute("select partner_center_open_staging(%s, %s)", (parent, earlier))

    def some(self, count: int, offset: int) -> Iterator[dict[str, Any]]:
        """Yield the JSON of so many stored referrals, spread over the whole table; others with another offset."""
        step = self.filled // count
        made = [f"{number * step - offset % step}" for number in range(1, count + 1)]
        found = self._connection.execute(
            "select raw_data from partner_center_referrals "
            "where referral_id in (select md5(n)::uuid::text from unnest(%s::text[]) as n)",
            (made,),
        )
        yield from (row[0] for row in found)

    def before_a_run(self) -> tuple[int, int]:
        """Return the next transaction's id and the blocks so far, after a checkpoint, as any run of a day has one."""
        self._connection.execute("checkpoint")
        # What this session itself has asked for is counted now, and not in the middle of the run.
        self._connection.execute("select pg_stat_force_next_flush()")
        return self.value("select pg_current_xact_id()::text::bigint"), self.value(BLOCKS)


def change(referral: dict[str, Any], moment: datetime) -> dict[str, Any]:
    """Give a referral another name and deal value, as updated at that moment."""
    details = {**(referral.get("details") or {}), "dealValue": moment.timestamp() // 1}
    updated = f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z"
    return {**referral, "name": f"Changed at {updated}", "details": details, "updatedDateTime": updated}


def measure_case(bench: Bench, warehouse: Warehouse, empty: Run, case: Case, number: int) -> Measured:
    now = datetime.now(UTC)
    changed = [change(each, now) for each in warehouse.some(case.changes, number)] if case.changes else []
    bench.control("seed", referrals=changed)
    bench.control("requests/clear")
    transaction, blocks = warehouse.before_a_run()
    run = bench.sync(f"{case}, run {number}", mode="incremental")
    if (run.counts["mode"], run.counts["fetched"]) != ("incremental", case.changes):
        sys.exit(f"This was no incremental run of the changes alone: {json.dumps(run.counts)}")
    after = warehouse.value(BLOCKS)
    return Measured(
        own_time(run, empty, ALL_TASKS), bench.calls(), warehouse.value(WRITTEN, (transaction,)), after - blocks
    )


def measure(bench: Bench, stocks: Sequence[int], runs: int, repeats: int) -> dict[Case, list[Measured]]:
    """Run everything, the smallest stock first: the table grows, and what one case changed stays."""
    # Everything is measured against these: a few more of them.
    empty = over_an_empty_account(bench, repeats + 2)
    bench.control("seed", dataset="bulk:20")
    first = bench.sync("20 referrals, a full read: it makes the watermark")
    warehouse = Warehouse(bench.dsn)
    warehouse.fill_runs(first.counts["run_id"], runs)
    found: dict[Case, list[Measured]] = {}
    for stock in stocks:
        started = time.monotonic()
        warehouse.fill_up_to(stock)
        bench.console.print(f"  filled up to {stock:,} in {time.monotonic() - started:.0f} s")
        for changes in CHANGES:
            if changes == CHANGES[-1] and stock not in {stocks[0], stocks[-1]}:
                continue
            case = Case(stock, changes)
            found[case] = [measure_case(bench, warehouse, empty, case, number) for number in range(1, repeats + 1)]
    return found


def show(console: Console, found: dict[Case, list[Measured]]) -> bool:
    """Print the tables; return whether every limit was kept."""
    table = Table(title="Median of the runs, own seconds")
    for heading in ("", *(task.replace("_", "\n") for task in ALL_TASKS), "sum", "of", "calls", "written", "blocks"):
        table.add_column(heading, justify="right")
    for case, runs in found.items():
        spread = f"{min(run.seconds for run in runs):.2f} to {max(run.seconds for run in runs):.2f}"
        own = [f"{statistics.median(run.own[task] for run in runs):.2f}" for task in ALL_TASKS]
        calls, written = (max(getattr(run, name) for run in runs) for name in ("calls", "written"))
        table.add_row(
            str(case), *own, f"{own_seconds(runs):.2f}", spread, f"{calls}", f"{written:,}", f"{blocks(runs):,}"
        )
    console.print(table)
    limits = [*steady_limits(found), *ratio_limits(found), *written_limits(found)]
    for name, value, limit in limits:
        console.print(f"{name}: {value:.2f} (limit {limit:g}): {'ok' if value <= limit else 'TOO MUCH'}")
    return all(value <= limit for _, value, limit in limits)


def own_seconds(runs: list[Measured]) -> float:
    return statistics.median(run.seconds for run in runs)


def blocks(runs: list[Measured]) -> int:
    return int(statistics.median(run.blocks for run in runs))


Limit = tuple[str, float, float]


def steady_limits(found: dict[Case, list[Measured]]) -> Iterator[Limit]:
    for case, runs in found.items():
        if not case.changes:
            yield f"{case}: own seconds", own_seconds(runs), STEADY_LIMIT_SECONDS
            yield f"{case}: calls of the API", max(run.calls for run in runs), 1


def written_limits(found: dict[Case, list[Measured]]) -> Iterator[Limit]:
    for case, runs in found.items():
        yield f"{case}: rows written beyond the changed ones", max(abs(run.written - case.changes) for run in runs), 0


def ratio_limits(found: dict[Case, list[Measured]]) -> Iterator[Limit]:
    """Compare the largest stock with the smallest, for each number of changes."""
    small, large = min(case.stock for case in found), max(case.stock for case in found)
    for changes in CHANGES:
        fewer, more = found[Case(small, changes)], found[Case(large, changes)]
        name = f"{changes:,} changed, {large:,} stored to {small:,}"
        ratio = max(own_seconds(more), NOISE_SECONDS) / max(own_seconds(fewer), NOISE_SECONDS)
        yield f"{name}: own seconds, those below {NOISE_SECONDS} s as that", ratio, RATIO_LIMIT
        yield f"{name}: blocks of the database", blocks(more) / blocks(fewer), RATIO_LIMIT


def main() -> int:
    """Measure and print; exit 1 when a limit was not kept."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stocks", type=int, nargs="+", default=STOCKS, help="the smallest first")
    arguments.add_argument("--runs", type=int, default=RUNS_OF_A_WEEK, help="earlier runs with their staging")
    arguments.add_argument("--repeats", type=int, default=3)
    given = arguments.parse_args()
    console = Console(width=160)
    started = time.monotonic()
    with running(console) as bench:
        found = measure(bench, given.stocks, given.runs, given.repeats)
    kept = show(console, found)
    console.print(f"{time.monotonic() - started:.0f} s in all.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
