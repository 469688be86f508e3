"""kill -9 at a named moment of a run: the next try, or the next run, ends as if nothing had happened.

A child of the test's process runs the sync and kills itself just before or after a call of psycopg that the test has
wrapped, in the child alone. The simulator goes on serving from the parent.

By default the moments of CI are run; PARTNER_CENTER_KILLS=all runs each of them.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from simulator.data import builder
from tests.support.pipeline import Pipeline
from tests.support.runs import TASKS
from tests.support.warehouse import CONNECTION, Warehouse

CHILD_SECONDS = 60
RUN = "killed"
STOCK = 11
PAGE = 4

ROWS, PAYLOADS, DOMAINS = (f"copy partner_center_staged{name} (" for name in ("", "_payloads", "_domains"))
OPEN_STAGING, ANALYZE = "partner_center_open_staging(", "partner_center_analyze_staging("
STAGED = "set staged_at = now()"
LOCK = "select pg_advisory_xact_lock(partner_center_lock_key('partner_center_referrals'))"
UPSERT, HISTORY = "insert into partner_center_referrals (", "insert into partner_center_referral_history ("
VERSIONS, MISSING = "insert into partner_center_referral_versions (", "missing_since = vanished.loaded_at"
WATERMARK, LOADED, CLOSE = "set watermark = greatest(", "::integer as unexpected", "persisted = %(persisted)s"


@dataclass(frozen=True)
class Moment:
    """When the child dies: before or after the nth call of psycopg whose statement holds a text.

    Attributes:
        name: what a reader calls it.
        task: the task that dies.
        when: before or after.
        call: execute, copy (its beginning), row (of a COPY), or commit (after such a statement).
        text: of the statement.
        nth: which of the calls that fit.
        in_ci: whether it is run by default.
    """

    name: str
    task: str
    when: str
    call: str
    text: str
    nth: int = 1
    in_ci: bool = False


MOMENTS = (
    Moment("before the plan is kept", "fetch_pages", "before", "execute", "watermark_before = %(watermark)s"),
    Moment("while the staging is emptied", "fetch_pages", "after", "execute", OPEN_STAGING, 2),
    Moment("before COPY of page 1", "fetch_pages", "before", "copy", ROWS),
    Moment("in COPY of page 1", "fetch_pages", "after", "row", ROWS, 2, in_ci=True),
    Moment("between rows and payloads of page 1", "fetch_pages", "before", "copy", PAYLOADS),
    Moment("in COPY of the payloads of page 1", "fetch_pages", "after", "row", PAYLOADS, 2),
    Moment("before page 1 is committed", "fetch_pages", "before", "commit", PAYLOADS),
    Moment("after page 1 is committed", "fetch_pages", "after", "commit", PAYLOADS, in_ci=True),
    Moment("after the quarantine, before COPY of page 3", "fetch_pages", "before", "copy", ROWS, 3),
    Moment("in COPY of page 2", "fetch_pages", "after", "row", ROWS, PAGE + 1),
    Moment("after COPY of page 2", "fetch_pages", "after", "row", PAYLOADS, 2 * PAGE, in_ci=True),
    Moment("before the staging is committed", "fetch_pages", "before", "commit", STAGED),
    Moment("after the staging is committed", "fetch_pages", "after", "commit", STAGED, in_ci=True),
    Moment("after the fetched rows are noted", "fetch_pages", "after", "commit", "set pages = %(pages)s"),
    Moment("before the outcomes", "filter_referrals", "before", "execute", "set outcome = decided.outcome"),
    Moment("after the outcomes", "filter_referrals", "after", "execute", "set outcome = decided.outcome", in_ci=True),
    Moment("after the outcomes are committed", "filter_referrals", "after", "commit", "::integer as duplicates"),
    Moment("in COPY of the domains", "extract_domains", "after", "row", DOMAINS, 3, in_ci=True),
    Moment("after the domains are committed", "extract_domains", "after", "commit", ANALYZE),
    Moment("before the writer's lock", "load_referrals", "before", "execute", LOCK),
    Moment("after the writer's lock", "load_referrals", "after", "execute", LOCK, in_ci=True),
    Moment("after the versions", "load_referrals", "after", "execute", VERSIONS),
    Moment("before the upsert", "load_referrals", "before", "execute", UPSERT),
    Moment("after the upsert", "load_referrals", "after", "execute", UPSERT, in_ci=True),
    Moment("before the history", "load_referrals", "before", "execute", HISTORY),
    Moment("after the history", "load_referrals", "after", "execute", HISTORY),
    Moment("before the missing are marked", "load_referrals", "before", "execute", MISSING),
    Moment("after the missing are marked", "load_referrals", "after", "execute", MISSING, in_ci=True),
    Moment("before the watermark", "load_referrals", "before", "execute", WATERMARK),
    Moment("after the watermark", "load_referrals", "after", "execute", WATERMARK),
    Moment("before the load is committed", "load_referrals", "before", "commit", LOADED, in_ci=True),
    Moment("after the load is committed, before XCom", "load_referrals", "after", "commit", LOADED, in_ci=True),
    Moment("before reading back", "verify_counts", "before", "execute", "with read_back as ("),
    Moment("after reading back", "verify_counts", "after", "execute", "with read_back as ("),
    Moment("before the run is closed", "verify_counts", "before", "execute", CLOSE),
    Moment("after the run is closed, before the commit", "verify_counts", "before", "commit", CLOSE, in_ci=True),
    Moment("after the run is closed", "verify_counts", "after", "commit", CLOSE),
)
CHOSEN = [moment for moment in MOMENTS if moment.in_ci or os.environ.get("PARTNER_CENTER_KILLS") == "all"]


class Killer:
    """Wraps psycopg in this process, so that it dies at a moment."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._left = moment.nth
        self._last: dict[int, str] = {}
        self._copying = ""

    def arm(self) -> None:
        execute, copy = psycopg.Cursor.execute, psycopg.Cursor.copy
        write_row, commit = psycopg.Copy.write_row, psycopg.Connection.commit

        @functools.wraps(execute)
        def watched_execute(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            self._last[id(cursor.connection)] = str(query)
            return self._around("execute", str(query), functools.partial(execute, cursor, query, *args, **kwargs))

        @functools.wraps(copy)
        def watched_copy(cursor: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
            self._last[id(cursor.connection)] = self._copying = str(statement)
            return self._around("copy", str(statement), functools.partial(copy, cursor, statement, *args, **kwargs))

        @functools.wraps(write_row)
        def watched_row(writer: Any, row: Any) -> None:
            self._around("row", self._copying, functools.partial(write_row, writer, row))

        @functools.wraps(commit)
        def watched_commit(connection: Any) -> None:
            self._around("commit", self._last.pop(id(connection), ""), functools.partial(commit, connection))

        psycopg.Cursor.execute, psycopg.Cursor.copy = watched_execute, watched_copy  # type: ignore[method-assign]
        psycopg.Copy.write_row, psycopg.Connection.commit = watched_row, watched_commit  # type: ignore[method-assign]

    def _around(self, call: str, text: str, do: Callable[[], Any]) -> Any:
        fits = call == self._moment.call and self._moment.text in text
        self._left -= fits
        dies = fits and self._left == 0
        if dies and self._moment.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = do()
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


def run_and_die(pipeline: Pipeline, moment: Moment, **params: Any) -> dict[str, Any]:
    """Run in a child that dies at a moment; return what its tasks left in XCom."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the simulator's thread; the child does not touch it
        child = os.fork()
    if child == 0:
        _be_the_child(pipeline, moment, writing, params)
    os.close(writing)
    try:
        status = _status_of(child)
        with os.fdopen(reading, encoding="utf-8") as lines:
            left = [json.loads(line) for line in lines]
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    assert os.WIFSIGNALED(status), f"the child never came to the moment: {moment.name}"
    assert os.WTERMSIG(status) == signal.SIGKILL
    return dict(left)


def _be_the_child(pipeline: Pipeline, moment: Moment, writing: int, params: dict[str, Any]) -> None:
    try:
        from airflow import settings

        # The parent's connections to the metadata database stay the parent's.
        settings.engine.dispose(close=False)
        Killer(moment).arm()
        for task_id in TASKS:
            result = pipeline.run(RUN, from_task=task_id, until=task_id, **params)
            os.write(writing, json.dumps([task_id, result]).encode() + b"\n")
    finally:
        # Whatever happened: pytest must not go on here.
        os._exit(1)


def _status_of(child: int) -> int:
    deadline = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.005)
    pytest.fail(f"the child still runs after {CHILD_SECONDS} s")


def referral(number: int) -> dict[str, Any]:
    team = [builder.member("Ada", "Berg", f"ada@contoso-{number}.com")] if number % 2 else []
    return builder.referral(
        f"killed {number}",
        customer=builder.profile(f"Customer {number}", "FI", "Turku", team, []),
        deal=builder.details(100, "EUR", "", "P"),
        created=number,
        updated=number,
    )


class Stock:
    """A warehouse with stored referrals, to be copied; and how it should stand after the run that dies."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.template = ""
        self.expected: Any = None
        self._copies = 0

    def copy(self) -> str:
        self._copies += 1
        name = f"killed_{self._copies}"
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {name} template {self.template}")
        return name


@pytest.fixture(scope="module")
def stock(postgres18: Any) -> Iterator[Stock]:
    made = Stock(postgres18)
    yield made
    if made.template:
        postgres18.drop_database(made.template)


@pytest.fixture
def copies(
    stock: Stock,
    simulator: Any,
    signed_in: None,
    flag_on: None,
    short_waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], Warehouse]]:
    """Give a maker of warehouses with a stock, and an API where one is closed, renamed, new, gone, and unstorable."""
    simulator.control.seed(referrals=[referral(number) for number in range(STOCK)])
    simulator.control.settings(max_page_size=PAGE)
    with ExitStack() as made:

        def connect_to(name: str) -> Warehouse:
            warehouse = Warehouse(stock.server.dsn(name))
            monkeypatch.setenv(CONNECTION, warehouse.connection)
            return warehouse

        def copy() -> Warehouse:
            name = stock.copy()
            made.callback(stock.server.drop_database, name)
            return connect_to(name)

        if not stock.template:
            stock.template = stock.server.make_database()
            connect_to(stock.template)
            Pipeline().run("stock")
        change(simulator.control)
        if stock.expected is None:
            warehouse = copy()
            Pipeline().run(RUN, mode="full")
            stock.expected = state(warehouse)
        yield copy


def change(control: Any) -> None:
    # The same in every test, so not at the time of the change.
    stamps = {"updatedDateTime": builder.stamp(3600), "eTag": "changed"}
    control.patch(builder.guid("killed 1"), {"status": "Closed", "substatus": "Won", **stamps})
    control.patch(builder.guid("killed 2"), {"name": "renamed", **stamps})
    control.delete(builder.guid("killed 3"))
    control.upsert(referral(STOCK))
    # On page 2, so that the quarantine is written between two COPY.
    control.upsert(referral(STOCK + 1) | {"name": "\x00", "createdDateTime": builder.stamp(6.5)})


def state(warehouse: Warehouse) -> dict[str, Any]:
    """Return all that should stand the same whatever happened on the way; of times, whether there is one."""
    referrals = warehouse.referrals()
    for row in referrals.values():
        row["missing_since"] = row["missing_since"] is not None
    history = [
        (*row[:2], *(value is not None for value in row[2:])) if row[1] == "missing_since" else row
        for row in warehouse.history()
    ]
    kept = warehouse.rows(
        "select referral_id, version ->> 'name' as name, version ->> 'status' as status "
        "from partner_center_referral_versions order by referral_id, superseded_at"
    )
    companies = warehouse.rows("select domain, names, countries from partner_center_companies order by domain")
    return {"referrals": referrals, "history": history, "versions": kept, "companies": companies}


def test_the_run_that_dies_would_have_written_every_kind_of_change(copies: Any, stock: Stock) -> None:
    rows = stock.expected["referrals"]
    assert len(rows) == STOCK + 1
    assert [row["status"] for row in rows.values()].count("Closed") == 1
    assert [row["missing_since"] for row in rows.values()].count(True) == 1
    assert len(stock.expected["history"]) == 4
    assert len(stock.expected["versions"]) == 3


@pytest.mark.parametrize("moment", CHOSEN, ids=lambda moment: moment.name)
def test_the_next_try_of_a_task_whose_worker_was_killed_ends_as_if_it_had_not_been(
    copies: Callable[[], Warehouse], stock: Stock, moment: Moment
) -> None:
    warehouse, pipeline = copies(), Pipeline()
    left = run_and_die(pipeline, moment, mode="full")
    assert list(left) == list(TASKS[: TASKS.index(moment.task)])
    pipeline.xcoms[RUN] |= left
    counts = pipeline.run(RUN, from_task=moment.task, mode="full")
    assert (counts["inserted"], counts["updated"], counts["persisted"]) == (1, 2, STOCK - 1)
    assert state(warehouse) == stock.expected
    assert [row["run_id"] for row in warehouse.rows("select run_id from partner_center_quarantine")] == [RUN]
    noted = warehouse.run(RUN)
    assert (noted["state"], noted["reason"], noted["vanished"]) == ("success", None, 1)


@pytest.mark.parametrize("moment", CHOSEN, ids=lambda moment: moment.name)
def test_the_run_after_one_whose_worker_was_killed_ends_as_if_it_had_not_been(
    copies: Callable[[], Warehouse], stock: Stock, moment: Moment
) -> None:
    warehouse, pipeline = copies(), Pipeline()
    run_and_die(pipeline, moment, mode="full")
    counts = pipeline.run("next", mode="full")
    assert counts["inserted"] + counts["updated"] + counts["unchanged"] == STOCK
    assert state(warehouse) == stock.expected
