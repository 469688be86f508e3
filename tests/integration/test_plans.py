"""The cost of an incremental run follows the changes, not the stock: it reaches what is stored through indexes alone.

Each statement that the package's own code sends is explained (with ANALYZE, taken back) right before it runs, so a new
statement is looked at without anybody naming it here.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import psycopg
import psycopg.sql
import pytest
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from tests.support.environment import ROOT
from tests.support.sync import SQL, Sync, referral, request_of
from tests.support.warehouse import Warehouse

STOCK = 20_000
# Not partner_center_link_overrides: people write it by hand, and PostgreSQL reads a few rows faster without an index.
GROWS = {
    "partner_center_referrals",
    "partner_center_referral_history",
    "partner_center_referral_versions",
    "partner_center_skipped",
    "partner_center_companies",
    "partner_center_quarantine",
    "partner_center_sync_runs",
}
# Rows as narrow as they can be: the fewer pages the table has, the more a planner likes to read all of it.
FILL = f"""
insert into partner_center_referrals (
    referral_id, referral_type, name, status, direction, domain, link_status, updated_at, raw_data, content_hash,
    mapping_version, read_at, first_synced_at, first_run_id, synced_at, last_run_id
)
select
    'id-' || n, 'unclassified', 'n', 'New', 'Incoming', 'd' || n || '.com', 'linked', '2026-10-01', '{{}}', '\\x00', 1,
    '2026-10-01', '2026-10-01', 'earlier-' || n % 4000, '2026-10-01', 'earlier-' || n % 4000
from generate_series(1, {STOCK}) as n;

insert into partner_center_referral_history (referral_id, changed_at, run_id, field, old_value, new_value)
select 'id-' || n, now() - n * interval '1 minute', 'earlier', 'name', 'a', 'b' from generate_series(1, {STOCK}) as n;

insert into partner_center_referral_versions (referral_id, synced_at, superseded_at, superseded_by, version)
select 'id-' || n, '2026-09-01', now() - n * interval '1 minute', 'earlier', '{{}}'
from generate_series(1, {STOCK}) as n;

insert into partner_center_skipped (referral_id, reason, rule_version, first_seen_at, last_seen_at, last_run_id)
select 'skipped-' || n, 'status', 1, '2026-09-01', '2026-09-01', 'earlier' from generate_series(1, {STOCK}) as n;

insert into partner_center_companies (domain, names, countries, first_seen_at, last_seen_at)
select 'd' || n || '.com', '{{n}}', '{{}}', '2026-09-01', '2026-09-01' from generate_series(1, {STOCK}) as n;

insert into partner_center_quarantine (run_id, reason, raw, received_at)
select 'earlier-' || n % 4000, 'no_id', '{{}}', '2026-10-01' from generate_series(1, {STOCK}) as n;
"""
# A year of a run each 10 minutes.
FILL_RUNS = """
insert into partner_center_sync_runs (
    run_id, mode, direction, statuses, dry_run, started_at, finished_at, read_at, loaded_at, state, scope, strategy,
    watermark
)
select
    'earlier-' || n, case when n %% 144 = 1 then 'full' else 'incremental' end, 'Incoming', '{New}', false,
    now() - n * interval '10 minutes', now() - n * interval '10 minutes', now() - n * interval '10 minutes',
    now() - n * interval '10 minutes', 'success', %s, case when n %% 144 = 1 then 'full' else 'filter' end,
    now() - n * interval '10 minutes'
from generate_series(1, 52560) as n
"""
SCANS = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan", "Sample Scan"}
EXPLAINABLE = re.compile(
    r"(?:\s*--[^\n]*\n)*\s*(?:select|insert|update|delete|with|create temporary table \w+ on commit drop as)\b"
)
# So many rows of a growing table may one scan read: the staged rows, and some for each of them; of the runs, a month.
FEW, MONTH_OF_RUNS = 60, 31 * 144


class Scan(NamedTuple):
    """A scan of a growing table that took place: its statement, its kind, its rows, and what it looked for."""

    statement: str
    kind: str
    table: str
    rows: float
    condition: str | None

    @property
    def is_through_index(self) -> bool:
        return self.kind == "Bitmap Heap Scan" or self.kind.startswith("Index")


def most_rows(scan: Scan) -> int:
    return MONTH_OF_RUNS if scan.table == "partner_center_sync_runs" else FEW


class Watched:
    """What was explained: each statement, and the scans of growing tables in its plan."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.begun: list[Scan] = []
        self.never: list[Scan] = []

    def explain(self, connection: psycopg.Connection[Any], query: Any, parameters: Any) -> None:
        """Explain a statement, in full and taken back, with the parameters bound as they are."""
        if not (isinstance(query, str) and EXPLAINABLE.match(query)):
            return
        self.statements.append(query)
        cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        cursor.execute("savepoint explained")
        cursor.execute("explain (analyze, format json) " + query, parameters)
        row = cursor.fetchone()
        cursor.execute("rollback to savepoint explained")
        cursor.execute("release savepoint explained")
        assert row is not None
        self._walk(query, row[0][0]["Plan"])

    def _walk(self, query: str, node: dict[str, Any]) -> None:
        for inner in node.get("Plans", []):
            self._walk(query, inner)
        table = node.get("Relation Name")
        if table not in GROWS or node["Node Type"] not in SCANS:
            return
        loops = node["Actual Loops"]
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        rows = (node["Actual Rows"] + removed) * loops
        scan = Scan(query, node["Node Type"], table, rows, node.get("Index Cond"))
        (self.begun if loops else self.never).append(scan)

    def bad(self) -> list[str]:
        """Return the scans whose cost is that of the stock."""
        return [
            f"{scan.kind} on {scan.table}, {scan.rows:.0f} rows:\n{scan.statement}"
            for scan in self.begun
            if not (scan.is_through_index and scan.rows <= most_rows(scan))
        ]


@contextlib.contextmanager
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Explain everything that is sent through `warehouse.connect`."""
    from partner_center import warehouse

    watched, connect = Watched(), warehouse.connect

    class Explained(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
            watched.explain(self.connection, query, params)
            return super().execute(query, params, **kwargs)

    class ExplainedOnServer(psycopg.ServerCursor[Any]):
        def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
            watched.explain(self.connection, query, params)
            return super().execute(query, params, **kwargs)

    @contextlib.contextmanager
    def connect_watched() -> Iterator[psycopg.Connection[Any]]:
        with connect() as connection:
            connection.cursor_factory = Explained
            connection.server_cursor_factory = ExplainedOnServer
            yield connection

    with monkeypatch.context() as patched:
        patched.setattr(warehouse, "connect", connect_watched)
        yield watched


@pytest.fixture(scope="module")
def filled() -> dict[int, str]:
    """By port of a server, its database with the stock, once it is made: to copy it takes a tenth of the time."""
    return {}


@pytest.fixture(params=["postgres18", "postgres15"])
def full_warehouse(
    make_warehouse: Callable[..., Warehouse],
    make_migrated: Callable[..., Warehouse],
    filled: dict[int, str],
    request: pytest.FixtureRequest,
) -> Warehouse:
    """A warehouse with a stock, whose statistics nobody collects meanwhile."""
    server = request.getfixturevalue(request.param)
    if server.port not in filled:
        made = make_migrated(server)
        made.execute(";".join(f"alter table {table} set (autovacuum_enabled = off)" for table in sorted(GROWS)))
        made.execute(FILL)
        with made.connect() as connection:
            connection.execute(FILL_RUNS, (Jsonb(scope()),))
        filled[server.port] = server.make_database(template=made.dsn.rsplit("/", 1)[1])
    return make_warehouse(server, template=filled[server.port])


def scope() -> dict[str, Any]:
    found: dict[str, Any] = request_of("any").scope("https://api.example", "account", "")
    return found


CHANGES = [
    referral(1, name="changed", updatedDateTime="2026-11-02T00:00:00Z"),
    referral(2, status="Closed", updatedDateTime="2026-11-02T00:00:00Z"),
    referral(3, updatedDateTime="2026-09-01T00:00:00Z"),
    referral(4, customerProfile={"name": "n", "team": [{"email": "someone@brunnthal.com"}]}),
    referral(5, name="changed"),
    referral(5, name="earlier", updatedDateTime="2026-10-02T00:00:00Z"),
    referral(STOCK + 1),
    referral(STOCK + 2, status="Closed"),
    referral(STOCK + 3, direction="Outgoing"),
    {"status": "New"},
]


def sync_with_everything_around(warehouse: Warehouse, run_id: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """Run what the tasks of an incremental run do in the warehouse, in their order."""
    from partner_center import runs

    request = request_of(run_id)
    runs.open_run(request)
    plan = runs.plan_read(request, scope(), timedelta(minutes=15), timedelta(days=1))
    assert (plan.mode, plan.strategy) == ("incremental", "filter")
    assert runs.direction_to_read(request) == "Incoming"
    counts = Sync(warehouse)(*rows, run_id=run_id)
    runs.note_fetched(run_id, {"pages": 1, "fetched": len(rows), "quarantined": 0})
    runs.close_run(run_id, "success", None, {"fetched": len(rows), "duplicates": 0, "quarantined": 0} | counts)
    assert runs.close_unfinished(run_id) == "success"
    return counts


@pytest.mark.parametrize("analyzed", [True, False])
def test_an_incremental_run_reaches_what_is_stored_through_indexes_alone(
    full_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, analyzed: bool
) -> None:
    for run_id, rows in (("run-1", []), ("run-2", [referral(1), referral(10)]), ("run-3", CHANGES)):
        # Of the partitioned tables, too, as somebody may do it by hand: what these hold at the time (here the first ids
        # of all) is no sample of what they will hold in the next run.
        # A table that grows by one row a run has statistics, whatever the day brought; the others may have none yet.
        full_warehouse.execute("analyze" if analyzed else "analyze partner_center_sync_runs")
        with watching(monkeypatch) as watched:
            counts = sync_with_everything_around(full_warehouse, run_id, *rows)
        assert (run_id, watched.bad()) == (run_id, [])
    # Each statement had something to do. The companies are written by their key, without any scan of their table.
    assert (counts["inserted"], counts["updated"], counts["closed"], counts["duplicates"]) == (1, 4, 1, 1)
    assert counts["skipped"] == {"direction": 1, "status": 1}
    assert {scan.table for scan in watched.begun} == GROWS - {"partner_center_companies"}
    unseen = {statement.split("(")[0].strip() for statement in not_explained(watched)}
    assert unseen == {"analyze pending;", "analyze written;", "create temporary table written"}


def not_explained(watched: Watched) -> set[str]:
    """Return the statements of the SQL files that went by unseen."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    statements = {each for file in SQL.glob("*.sql") for each in PostgresHook.split_sql_string(file.read_text())}
    return statements - set(watched.statements)


def test_only_a_full_read_looks_at_the_whole_table(full_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks for the vanished stands in every load; unless everything was read, its scans are never begun."""
    with watching(monkeypatch) as watched:
        sync_with_everything_around(full_warehouse, "run-1", *CHANGES)
    assert all(whole_table(watched.never))
    assert not any(whole_table(watched.begun))
    # A full read of ten rows takes what is left for vanished, which is written, twice here; its scans do not need many.
    full_warehouse.execute("delete from partner_center_referrals where substr(referral_id, 4)::integer > 1000")
    full_warehouse.execute("vacuum analyze partner_center_referrals")
    with watching(monkeypatch) as watched:
        Sync(full_warehouse)(*CHANGES, run_id="run-2", mode="full")
    assert all(whole_table(watched.begun))


def whole_table(scans: list[Scan]) -> list[bool]:
    """Say of load_30_mark_missing and of load_70_count whether a scan without condition is among these."""
    unconditional = [
        scan.statement
        for scan in scans
        if scan.kind == "Seq Scan" or (scan.kind != "Bitmap Heap Scan" and scan.condition is None)
    ]
    return [any(mark in statement for statement in unconditional) for mark in ("as\nwith absent as", "with swept as")]


# --- what the pages ask ----------------------------------------------------------------------------------------------

PAGES_STOCK = 50_000
# What vacuum could not mark, as where a page was in use: a small part.
FEW_PAGES = PAGES_STOCK // 10
# Rows as wide as real ones, or reading all of the table would be as cheap as its index.
FILL_PAGES = f"""
insert into partner_center_referrals (
    referral_id, referral_type, name, customer_name, status, direction, domain, link_status, updated_at, created_at,
    expires_at, deal_value, currency, raw_data, content_hash, mapping_version, read_at, first_synced_at, first_run_id,
    synced_at, last_run_id
)
select
    md5(n::text), 'co-sell', 'Migration ' || n, 'Customer ' || n % 500,
    case when n % 5000 = 1 then 'Suspended' else 'New' end, 'Incoming', 'd' || n % 5000 || '.com', 'linked',
    now() - n * interval '1 minute', now() - n * interval '1 minute', now() + (n % 100) * interval '1 day', n, 'EUR',
    jsonb_build_object('text', (select string_agg(md5(n::text || word), '') from generate_series(1, 40) as word)),
    '\\x00', 1, now(), now(), 'r', now(), 'r'
from generate_series(1, {PAGES_STOCK}) as n;

insert into partner_center_companies (domain, names, countries, first_seen_at, last_seen_at)
select 'd' || n || '.com', '{{n}}', '{{}}', now(), now() - n * interval '1 second' from generate_series(1, 4999) as n;

insert into partner_center_referral_history (referral_id, changed_at, run_id, field, old_value, new_value)
select
    md5(n::text), now() - (n % 2000) * interval '10 minutes', 'earlier-' || 1 + n % 2000, 'name', 'a', 'b'
from generate_series(1, {PAGES_STOCK}) as n;

insert into partner_center_quarantine (run_id, reason, raw, received_at)
select 'earlier-' || n % 4000, 'no_id', '{{}}', now() from generate_series(1, {PAGES_STOCK}) as n;

insert into partner_center_sync_runs (
    run_id, mode, direction, statuses, dry_run, started_at, finished_at, read_at, loaded_at, state
)
select 'earlier-' || n, 'incremental', 'Incoming', '{{New}}', false, at, at, at, at, 'success'
from generate_series(1, {PAGES_STOCK}) as n
cross join lateral (select now() - n * interval '10 minutes' as at) as began;
"""


@pytest.fixture(scope="module", params=["postgres18", "postgres15"])
def pages_warehouse(airflow_home: Any, request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """A warehouse that pages are read from, filled once."""
    from partner_center.warehouse import ensure_schema
    from tests.support.warehouse import CONNECTION

    server = request.getfixturevalue(request.param)
    name = server.make_database()
    made = Warehouse(server.dsn(name))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(CONNECTION, made.connection)
        ensure_schema(ROOT / "include" / "migrations", auto_migrate=True)
        # An autovacuum that runs meanwhile keeps ours from seeing that everything is there for all.
        made.execute(";".join(f"alter table {table} set (autovacuum_enabled = off)" for table in sorted(GROWS)))
        # What a server has not on disk yet, vacuum does not take for visible to all.
        made.execute(f"set synchronous_commit = on; {FILL_PAGES}")
        made.execute("checkpoint")
        vacuum(made)
        yield made
    server.drop_database(name)


def vacuum(warehouse: Warehouse) -> None:
    """Vacuum until every page of the referrals is known to be visible to all; an autoanalyze can stand in the way."""
    for _ in range(60):
        warehouse.execute("vacuum (analyze)")
        known = "select relallvisible >= relpages from pg_class where relname = 'partner_center_referrals'"
        if warehouse.value(known):
            return
        time.sleep(0.5)
    raise AssertionError("vacuum leaves pages out")


def plans_of(act: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """Return the nodes of the plans of all statements that a page sends."""
    from partner_center.accounts import DEFAULT
    from partner_center.ui.reading import reading

    nodes: list[dict[str, Any]] = []

    class Explained(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
            cursor = psycopg.Cursor(self.connection, row_factory=tuple_row)
            row = cursor.execute(psycopg.sql.SQL("explain (analyze, format json) ") + query, params).fetchone()
            assert row is not None
            walk(row[0][0]["Plan"])
            return super().execute(query, params, **kwargs)

    def walk(node: dict[str, Any]) -> None:
        nodes.append(node)
        for inner in node.get("Plans", []):
            walk(inner)

    with reading(DEFAULT) as reader:
        reader._connection.cursor_factory = Explained
        act(reader)
    return [node for node in nodes if "Relation Name" in node and node["Actual Loops"]]


def inbox_plans(sort: str = "updated", **asked: Any) -> list[dict[str, Any]]:
    from partner_center.ui import inbox

    filters = inbox.Filters(**asked)
    return plans_of(lambda reader: inbox.total(reader, filters, inbox.page(reader, filters, sort)))


def heap_fetches(nodes: list[dict[str, Any]]) -> int:
    return sum(node.get("Heap Fetches", 0) for node in nodes)


@pytest.mark.parametrize("sort", ["updated", "created", "expires", "value", "customer"])
def test_the_narrow_index_alone_answers_the_inbox(pages_warehouse: Warehouse, sort: str) -> None:
    for asked in ({}, {"status": "suspended"}, {"status": "open", "expiring": True}, {"q": "cust 77"}, {"q": "zzz"}):
        found = inbox_plans(sort, **asked)
        index = "search" if "q" in asked or sort == "customer" else "inbox"
        assert f"partner_center_referrals_{index}" in {node.get("Index Name") for node in found}
        assert heap_fetches(found) <= FEW_PAGES
        # Of the wide rows, one for each that is shown.
        wide = [node for node in found if node["Node Type"] != "Index Only Scan"]
        assert {node["Node Type"] for node in wide} <= {"Index Scan"}
        assert sum(node["Actual Rows"] * node["Actual Loops"] for node in wide) <= 51


def test_the_first_page_reads_what_it_counts_and_a_later_one_what_it_shows(pages_warehouse: Warehouse) -> None:
    from partner_center.accounts import DEFAULT
    from partner_center.ui import inbox
    from partner_center.ui.reading import reading

    def rows_of(after: str | None) -> int:
        found = plans_of(lambda reader: inbox.page(reader, inbox.Filters(), after=after))
        return max(node["Actual Rows"] * node["Actual Loops"] for node in found)

    with reading(DEFAULT) as reader:
        after = inbox.page(reader, inbox.Filters()).next_cursor
    assert rows_of(None) == inbox.MOST_COUNTED + 1
    assert rows_of(after) <= 51


def test_the_narrow_index_alone_answers_the_overview(pages_warehouse: Warehouse) -> None:
    from partner_center.ui import totals

    (scan,) = plans_of(totals.totals)
    assert scan["Node Type"] == "Index Only Scan"
    assert heap_fetches([scan]) <= FEW_PAGES


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("domains", {"q": "", "after_seen": None, "after_domain": "", "limit": 51}),
        ("domain", {"domain": "d77.com"}),
        ("runs", {"state": "", "after_started": None, "after_run": "", "limit": 51}),
        ("run_changes", {"run_id": "earlier-77"}),
        ("quarantine", {"all": False, "after": None, "limit": 26}),
        ("quarantine", {"all": True, "after": 40_000, "limit": 26}),
        ("referral", {"referral_id": "x"}),
    ],
)
def test_the_other_pages_go_through_indexes(pages_warehouse: Warehouse, name: str, asked: dict[str, Any]) -> None:
    found = plans_of(lambda reader: reader.rows(name, asked))
    assert [node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"] == []
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in found) < 3_000
