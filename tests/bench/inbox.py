"""`make bench-ui`: how long the pages, the REST route and their statements take at a million referrals.

Everything is real: PostgreSQL, Airflow's app with its log-in, our app in it. Each number is a median, measured on the
server. The export runs in a process of its own, whose peak memory must not follow the number of rows.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins"))

from rich.console import Console
from rich.table import Table

from tests.support import environment
from tests.support.environment import ROOT

LIMIT_MS, OVERVIEW_LIMIT_MS = 300, 500
GROWTH_LIMIT_MIB = 20
NOT_PROMISED = ("3 % updated", "REST, 500 by value")
RUNS = 7
FEWER = 100_000
# Of some 2 kB a row, with random ids, the oldest first, as real ones come; the names of some thousand companies.
FILL = """
insert into partner_center_referrals (
    referral_id, referral_type, link_status, name, customer_name, customer_country, status, substatus, domain,
    deal_value, currency, created_at, updated_at, expires_at, missing_since, direction, domain_candidates,
    raw_data, content_hash, mapping_version, read_at, first_synced_at, first_run_id, synced_at, last_run_id
)
select
    md5(n::text)::uuid::text,
    (array['co-sell', 'marketplace', 'qualified-lead', 'unclassified'])[1 + n %% 4],
    (array['linked', 'unlinked', 'multi_candidate'])[1 + n %% 3],
    (array['Migration', 'Renewal', 'Workshop', 'Rollout', 'Copilot'])[1 + n %% 5] || ' to the cloud ' || n,
    (array['Nordwind', 'Contoso', 'Fabrikam', 'Société Générée', 'Überlinger Söhne', '株式会社'])[1 + n %% 6]
    || ' Holding ' || n %% 9000,
    (array['FI', 'SE', 'DE', 'FR', 'JP', 'US', 'TR'])[1 + n %% 7],
    case when n %% 50000 = 7 then 'Suspended' else (array['New', 'Active', 'Closed', 'Closed'])[1 + n %% 4] end,
    'Received',
    case n %% 3 when 1 then null else 'customer-' || n %% 300000 || '.example.com' end,
    case n %% 10 when 0 then null else (n * 7919 %% 1000003)::numeric / 4 end,
    (array['EUR', 'USD', 'SEK', 'JPY', 'GBP'])[1 + n %% 5],
    now() - (%(newest)s - n) * interval '41 seconds',
    now() - (%(newest)s - n) * interval '37 seconds',
    case n %% 9 when 0 then null else now() + (n * 104729 %% 8640000 - 4320000) * interval '1 second' end,
    case n %% 97 when 0 then now() end,
    'Incoming',
    jsonb_build_array(jsonb_build_object('domain', 'customer-' || n || '.example.com', 'source', 'email')),
    jsonb_build_object('id', md5(n::text)::uuid::text, 'details', jsonb_build_object('notes', (
        select string_agg(md5(n::text || word), ' ') from generate_series(1, 45) as word
    ))),
    '\\x00', 1, now(), now(), 'r', now(), 'r'
from generate_series(%(first)s::bigint, %(last)s::bigint) as n
"""
UPDATE = """
update partner_center_referrals set substatus = 'Accepted', updated_at = now()
where get_byte(decode(left(referral_id, 2), 'hex'), 0) < 8
"""


class Bench:
    """The app over a filled warehouse, and what was measured."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.table = Table(title="Median of 7, milliseconds on the server")
        for heading in ("", "median", "slowest", "limit", ""):
            self.table.add_column(heading, justify="left" if heading == "" else "right")
        self.kept = True

    def measure(self, name: str, act: Callable[[], Any], limit: float = LIMIT_MS) -> None:
        """Time it; what is not promised (beside a table that waits for its vacuum, say) is told without a verdict."""
        act()
        took = []
        for _ in range(RUNS):
            started = time.perf_counter()
            act()
            took.append((time.perf_counter() - started) * 1000)
        self.row(name, statistics.median(took), max(took), limit)

    def row(self, name: str, value: float, worst: float, limit: float) -> None:
        if name.startswith(NOT_PROMISED):
            self.table.add_row(name, f"{value:.0f}", f"{worst:.0f}", "", "")
        else:
            self.kept = self.kept and value <= limit
            verdict = "ok" if value <= limit else "TOO MUCH"
            self.table.add_row(name, f"{value:.0f}", f"{worst:.0f}", f"{limit:.0f}", verdict)
        self.console.print(f"  {name}: {value:.0f}")


@contextmanager
def client() -> Iterator[Any]:
    """Give the client of somebody who may read, over Airflow's own app."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.api_fastapi.app import create_app, get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from fastapi.testclient import TestClient

        # The middleware that opens a database session belongs to it, as on the server.
        made = TestClient(create_app("core"), "http://localhost:8080", headers={"accept": "text/html"})
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="vic", role="VIEWER"))
    made.cookies.set("_token", token)
    yield made


def asked(browser: Any, path: str) -> Callable[[], Any]:
    def ask() -> Any:
        answer = browser.get(f"/partner-center{path}")
        if answer.status_code != 200:
            sys.exit(f"{path}: {answer.status_code} {answer.text[:500]}")
        return answer

    return ask


def pages(bench: Bench, browser: Any, state: str) -> None:
    """Measure through the app."""
    for name, path, limit in (
        ("page /inbox", "/inbox", LIMIT_MS),
        ("page /inbox, status and type", "/inbox?status=open&referral_type=co-sell", LIMIT_MS),
        ("page /inbox, search with few hits", "/inbox?q=suspended+8999", LIMIT_MS),
        ("page /inbox, search without a hit", "/inbox?q=zzzz", LIMIT_MS),
        ("page /", "/", OVERVIEW_LIMIT_MS),
        ("page /domains", "/domains", LIMIT_MS),
        ("REST, first page", "/api/v1/referrals", LIMIT_MS),
        ("REST, 500 by value", "/api/v1/referrals?limit=500&sort=value", LIMIT_MS),
    ):
        bench.measure(f"{state}{name}", asked(browser, path), limit)
    second = re.search(r'rel="next" href="([^"]+)"', asked(browser, "/inbox")().text)
    if second is not None:
        path = html.unescape(second[1]).removeprefix("/partner-center")
        bench.measure(f"{state}page /inbox, the second", asked(browser, path))


def statements(bench: Bench, state: str) -> None:
    """Measure the statements alone, in one session as a page has it."""
    from partner_center.accounts import DEFAULT
    from partner_center.ui import inbox, totals
    from partner_center.ui.inbox import Filters
    from partner_center.ui.reading import reading

    with reading(DEFAULT) as reader:

        def listing(filters: Filters = Filters(), **more: Any) -> Callable[[], Any]:  # noqa: B008 - it is frozen
            return lambda: inbox.total(reader, filters, inbox.page(reader, filters, **more), more.get("after"))

        cursor = inbox.page(reader, Filters(), limit=500).next_cursor
        for _ in range(50):
            cursor = inbox.page(reader, Filters(), limit=500, after=cursor).next_cursor
        by_value = inbox.page(reader, Filters(), "value", limit=500).next_cursor
        for name, act in (
            ("first page", listing()),
            ("status and link", listing(Filters(status="new", link_status="linked"))),
            ("rare status", listing(Filters(status="suspended"))),
            ("country and expiring", listing(Filters(country="fi", expiring=True))),
            ("page 500 by cursor", listing(after=cursor)),
            ("page 500 by offset", listing(offset=25_000)),
            ("the last by offset", listing(offset=990_000)),
            ("search, frequent", listing(Filters(q="nordwind"))),
            ("search, rare", listing(Filters(q="cloud 777123"))),
            ("search, none", listing(Filters(q="zzzz"))),
            ("search, none, not in ASCII", listing(Filters(q="ÜÜÜÜ株"))),
            *((f"by {sort}", listing(sort=sort)) for sort in inbox.SORTS if sort != "updated"),
            ("oldest first", listing(descending=False)),
            ("by value, a page further", listing(sort="value", after=by_value)),
        ):
            bench.measure(f"{state}SQL, {name}", act)
        bench.measure(f"{state}SQL, overview", lambda: totals.totals(reader), OVERVIEW_LIMIT_MS)


def export_peak(bench: Bench, rows: int) -> float:
    """Return the peak memory in MiB of a process that exports everything."""
    started = time.monotonic()
    command = [sys.executable, __file__, "--export"]
    out = subprocess.run(command, env=os.environ, check=True, capture_output=True, text=True).stdout
    peak = float(out.split()[-1])
    bench.console.print(f"  exported {rows:,} in {time.monotonic() - started:.0f} s, {peak:.0f} MiB")
    return peak


def export() -> int:
    """Export everything to nowhere, and print the peak memory."""
    from partner_center import airflow_store
    from partner_center.accounts import DEFAULT
    from partner_center.ui import csv_export
    from partner_center.ui.inbox import Filters

    airflow_store.open_from_shell()
    for _ in csv_export.chunks(DEFAULT, Filters(), "updated", None):
        pass
    # Not getrusage: what it tells begins with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
    return 0


def measure(bench: Bench, warehouse: Any, rows: int) -> None:
    """Fill and measure."""
    from partner_center.warehouse import ensure_schema

    ensure_schema(ROOT / "include" / "migrations", auto_migrate=True)
    fewer, first = min(FEWER, rows // 10), 1
    peaks: list[float] = []
    for last in (fewer, rows):
        started = time.monotonic()
        with warehouse.connect() as connection:
            connection.execute(FILL, {"first": first, "last": last, "newest": rows})
            # Here, commits wait for no disk; vacuum knows a row as visible to all once its commit is there.
            connection.execute("checkpoint")
            connection.execute("vacuum (analyze) partner_center_referrals")
        bench.console.print(f"  filled up to {last:,} in {time.monotonic() - started:.0f} s")
        first = last + 1
        if last == fewer:
            peaks.append(export_peak(bench, last))
    with client() as browser:
        statements(bench, "")
        pages(bench, browser, "")
        warehouse.execute("alter table partner_center_referrals set (autovacuum_enabled = off)")
        warehouse.execute(UPDATE)
        statements(bench, "3 % updated: ")
        pages(bench, browser, "3 % updated: ")
    growth = export_peak(bench, rows) - peaks[0]
    bench.row(f"MiB that the export of {rows:,} takes above that of {fewer:,}", growth, growth, GROWTH_LIMIT_MIB)


def main() -> int:
    """Measure and print; exit 1 when a limit was not kept."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--buffers", default="512MB", help="PostgreSQL's shared_buffers")
    arguments.add_argument("--export", action="store_true", help="what the benchmark starts itself with")
    given = arguments.parse_args()
    if given.export:
        return export()
    home = environment.make_home()
    environment.migrated_metadata(home)
    from tests.support import postgres
    from tests.support.warehouse import CONNECTION, Warehouse

    bench, server = Bench(Console(width=120)), postgres.embedded()
    try:
        # A server for a million referrals has room for the narrow indexes, if not for the table.
        server.settings = (*postgres.FAST, f"shared_buffers={given.buffers}")
        server.start()
        warehouse = Warehouse(server.dsn(server.make_database()))
        os.environ[CONNECTION] = warehouse.connection
        measure(bench, warehouse, given.rows)
    finally:
        server.stop()
    bench.console.print(bench.table)
    return 0 if bench.kept else 1


if __name__ == "__main__":
    sys.exit(main())
