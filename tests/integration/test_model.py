"""The sync against a model of it: whatever the API does and wherever a run ends, the table is what it should be.

A hypothesis state machine changes the API's referrals, the way they are listed and what goes wrong, and runs the sync:
incremental, full, dry, ending between any two tasks, resumed, cleared, or overtaken by another run. After each run, the
table is compared row by row with the model.

PARTNER_CENTER_MODEL_STEPS=5000 makes a longer search of new ground; without it, the same steps are made every time.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from simulator.data import builder
from tests.support.environment import ROOT
from tests.support.pipeline import Pipeline
from tests.support.runs import TASKS

STEPS_OF_AN_EXAMPLE = 40
LONGER = int(os.environ.get("PARTNER_CENTER_MODEL_STEPS", "0"))
EXAMPLES = max(1, LONGER // STEPS_OF_AN_EXAMPLE) if LONGER else 10
LONGEST_STEP = 2.0
"""Seconds, for the time limit: a run on a busy machine."""
SHRINKING = 400

FETCH, FILTER, LOAD, VERIFY = (
    TASKS.index(name) for name in ("fetch_pages", "filter_referrals", "load_referrals", "verify_counts")
)
MOST_MISSING = 0.2
"""The default of the Variable partner_center_sweep_max_missing_share."""
TABLES = "referrals, referral_history, referral_versions, quarantine, sync_runs, skipped, contract_drift, companies"
# The API's time, seconds before the warehouse's: it moves with every step, and no change lies in the future.
BEHIND = 5 * 86_400.0
STEP_SECONDS = 10.0
STOCK = 12

# What goes wrong, and whether the run gets over it; None: only if the listing has no second page.
FAULTS: dict[str, tuple[list[dict[str, Any]], bool | None]] = {
    "none": ([], True),
    "throttled": ([{"kind": "429", "times": 1, "retry_after": 1}], True),
    "server error twice": ([{"kind": "status", "status": 500, "times": 2}], True),
    "truncated": ([{"kind": "truncate", "times": 1}], True),
    "second page truncated": ([{"kind": "truncate", "page": 2, "times": 1}], True),
    "reset": ([{"kind": "reset", "times": 1}], True),
    "token refused once": ([{"kind": "401", "times": 1}], True),
    "link expired once": ([{"kind": "expired-skiptoken", "page": 2, "times": 1}], True),
    "link always expired": ([{"kind": "expired-skiptoken", "page": 2}], None),
    "third page away": ([{"kind": "status", "status": 503, "page": 3}], None),
    "away": ([{"kind": "status", "status": 500}], False),
    "always reset": ([{"kind": "reset"}], False),
}
PAGING = ("https-full", "http-noengagements", "relative", "empty-page", "short-page", "page-mutation")
CONTACTS = {"company": "x@contoso-{}.com", "consumer": "x{}@gmail.com", "none": None}

Content = dict[str, Any]
Rows = dict[str, dict[str, Any]]
NOT_READ: Content = {}


@dataclass(frozen=True)
class Stored:
    """A row of the table, as the model expects it: the API's JSON, whether it is missing, the read that wrote it."""

    content: Content
    missing: bool
    read_no: int


@dataclass
class Run:
    """A run, as far as it came.

    Attributes:
        mode: what it read; None while it has not planned.
        reads: by referral, the versions of which the run has read one; NOT_READ where it may have read none.
        read_no: the place of its latest read among all reads and loads.
        stored_then: what was stored when the outcomes were decided.
        done: the number of tasks that are done.
        loaded_read: the read that it has loaded.
        load_no: the place of that load.
        is_verified: its state is success.
        has_watermark: it has loaded a row, or began with a watermark.
    """

    run_id: str
    asked: str
    direction: str
    dry_run: bool
    mode: str | None = None
    reads: dict[str, list[Content]] = field(default_factory=dict)
    read_no: int = 0
    stored_then: set[str] = field(default_factory=set)
    done: int = 0
    loaded_read: int | None = None
    load_no: int = 0
    is_verified: bool = False
    has_watermark: bool = False

    def fits(self, content: Content) -> bool:
        is_asked_for = content["status"] in ("New", "Active") and self.direction in ("any", content["direction"])
        return is_asked_for and is_readable(content)


def is_readable(content: Content) -> bool:
    """Say whether PostgreSQL can hold it; a row that it cannot is quarantined, and did not vanish."""
    return "\x00" not in content["name"]


class World:
    """The real parts: API, warehouse, pipeline; made once, emptied for each example."""

    def __init__(self, simulator: Any, warehouse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from partner_center.warehouse import ensure_schema

        ensure_schema(ROOT / "include" / "migrations", auto_migrate=True)
        self.control = simulator.control
        self.state = simulator.control._state
        self.warehouse = warehouse
        self.connection = warehouse.connect()
        self.pipeline = Pipeline()
        self.saved: list[Content] = []
        self.steps: Counter[str] = Counter()
        self.settings = self.control.settings()
        save = self.state.save

        def save_and_tell(referral: Content, previous: Content | None) -> Content:
            saved: Content = save(referral, previous)
            self.saved.append(saved)
            return saved

        # What the simulator changes by itself while it is read.
        monkeypatch.setattr(self.state, "save", save_and_tell)

    def empty(self) -> None:
        """Forget everything but the sign-in."""
        names = ", ".join(f"partner_center_{name}" for name in TABLES.split(", "))
        self.connection.execute(f"truncate {names} restart identity")
        self.connection.execute("select partner_center_drop_old_staging('0')")
        self.control.seed(referrals=[])
        self.control.settings(**self.settings)
        self.control.faults([])
        self.control.clear_requests()
        self.state.clock.offset = -BEHIND

    def let_pass(self, seconds: float) -> None:
        """Move the API's time on."""
        self.state.clock.offset += seconds

    def table(self) -> Rows:
        rows = self.connection.execute("select xmin::text as written_by, * from partner_center_referrals").fetchall()
        return {row["referral_id"]: row for row in rows}

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.connection.execute(sql, parameters or None).fetchall()
        return found


class Sync(RuleBasedStateMachine):
    """The steps and the model; see the module."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.api: dict[str, Content] = {}
        self.vanished: dict[str, Content] = {}
        # Back under an old time: only a full read has to find them.
        self.quiet: set[str] = set()
        self.stored: dict[str, Stored] = {}
        self.runs: list[Run] = []
        self.now = self.created = 0
        self.paging = "https-full"
        self.loaded: dict[str, list[dict[str, Any]]] = {}
        world.empty()
        for number in range(STOCK):
            self.create_one("Outgoing" if number % 6 == 5 else "Incoming", "company", "New")

    @initialize(is_stored=st.sampled_from([True, True, False]))
    def begin_with_a_stock(self, is_stored: bool) -> None:
        """Begin before the first run, or after it."""
        if is_stored:
            self.run("incremental", "Incoming", dry_run=False, fault="none")

    # What happens at the API

    @rule(
        direction=st.sampled_from(["Incoming", "Incoming", "Outgoing"]),
        contact=st.sampled_from(sorted(CONTACTS)),
        status=st.sampled_from(["New", "Active", "Closed"]),
    )
    def create(self, direction: str, contact: str, status: str) -> None:
        """Make a referral."""
        self.tick("create")
        self.create_one(direction, contact, status)

    def create_one(self, direction: str, contact: str, status: str) -> None:
        self.world.let_pass(STEP_SECONDS)
        self.created += 1
        mail = CONTACTS[contact]
        team = [builder.member("Ada", "Berg", mail.format(self.created))] if mail else []
        now = self.world.state.clock.text()
        made = builder.referral(
            f"model {self.created}",
            customer=builder.profile(f"Customer {self.created}", "FI", "Turku", team, []),
            deal=builder.details(100 * self.created, "EUR", "", "P"),
            status=status,
            substatus={"New": "Pending", "Active": "Accepted", "Closed": "Lost"}[status],
            direction=direction,
        )
        self.put(made | {"createdDateTime": now, "updatedDateTime": now})

    def put(self, content: Content) -> None:
        self.world.control.upsert(content)
        self.api[content["id"]] = content

    @precondition(lambda self: self.api)
    @rule(
        which=st.integers(0, 40), what=st.sampled_from(["name", "value", "activate", "spoil", "Won", "Lost", "Expired"])
    )
    def update(self, which: int, what: str) -> None:
        """Change a referral."""
        self.tick(f"update {what}")
        content = self.api[self.pick(self.api, which)]
        changes: Content = {"name": f"{content['name'].replace(chr(0), '')}!"}
        if what == "value":
            changes = {"details": content["details"] | {"dealValue": content["details"]["dealValue"] + 0.5}}
        elif what == "activate":
            changes = {"status": "Active", "substatus": "Accepted"}
        elif what == "spoil":
            changes = {"name": "\x00"}
        elif what != "name":
            changes = {"status": "Closed", "substatus": what}
        self.change(content["id"], changes)

    def change(self, referral_id: str, changes: Content) -> None:
        self.api[referral_id] = self.world.control.patch(referral_id, changes)
        self.quiet.discard(referral_id)

    @precondition(lambda self: self.api)
    @rule(which=st.integers(0, 40), more=st.sampled_from([0, 0, 0, 0, 0, 4]))
    def vanish(self, which: int, more: int) -> None:
        """Make referrals disappear."""
        self.tick("vanish")
        for _ in range(min(1 + more, len(self.api))):
            referral_id = self.pick(self.api, which)
            self.world.control.delete(referral_id)
            self.vanished[referral_id] = self.api.pop(referral_id)

    @precondition(lambda self: self.vanished)
    @rule(which=st.integers(0, 40), is_changed=st.booleans())
    def reappear(self, which: int, is_changed: bool) -> None:
        """Bring one back, under its old time or a new one."""
        self.tick("reappear")
        referral_id = self.pick(self.vanished, which)
        self.put(self.vanished.pop(referral_id))
        self.quiet.add(referral_id)
        if is_changed:
            self.change(referral_id, {"name": "back"})

    @rule(paging=st.sampled_from(PAGING), size=st.sampled_from([2, 5, 200]), updated_filter=st.booleans())
    def list_otherwise(self, paging: str, size: int, updated_filter: bool) -> None:
        """Change how the API lists."""
        self.tick("list otherwise")
        self.paging = paging
        self.world.control.settings(paging=paging, max_page_size=size, updated_filter=updated_filter)

    # What the sync does

    @rule(
        mode=st.sampled_from(["incremental", "incremental", "full"]),
        direction=st.sampled_from(["Incoming", "Incoming", "Incoming", "any"]),
        dry_run=st.sampled_from([False, False, False, True]),
        fault=st.sampled_from([*["none"] * 6, *sorted(FAULTS)]),
    )
    def run(self, mode: str, direction: str, dry_run: bool, fault: str) -> None:
        """Run from the first to the last task."""
        self.tick(f"run {mode}")
        self.go(self.begin(mode, direction, dry_run), 0, VERIFY, fault)

    @rule(mode=st.sampled_from(["incremental", "full"]))
    def run_undisturbed(self, mode: str) -> None:
        """Run as the schedule does."""
        self.run(mode, "Incoming", dry_run=False, fault="none")

    @rule(
        mode=st.sampled_from(["incremental", "full"]),
        direction=st.sampled_from(["Incoming", "Incoming", "any"]),
        until=st.integers(0, LOAD),
    )
    def die(self, mode: str, direction: str, until: int) -> None:
        """Run, and lose the worker between two tasks."""
        self.tick(f"die after {TASKS[until]}")
        self.go(self.begin(mode, direction, dry_run=False), 0, until, "none")

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 3), back=st.integers(0, 5), until=st.sampled_from([VERIFY, VERIFY, LOAD, FILTER]))
    def resume(self, which: int, back: int, until: int) -> None:
        """Go on with one of the latest runs: the next task, or earlier ones once more."""
        run = self.runs[-1 - which % len(self.runs)]
        begin = max(0, min(run.done, VERIFY) - back)
        self.tick(f"resume from {TASKS[begin]}")
        self.go(run, begin, max(begin, until), "none")

    def begin(self, mode: str, direction: str, dry_run: bool) -> Run:
        run = Run(f"run-{self.world.steps['runs']}", mode, direction, dry_run)
        self.world.steps["runs"] += 1
        self.runs.append(run)
        return run

    def go(self, run: Run, begin: int, end: int, fault: str) -> None:
        from partner_center.errors import ApiUnavailable, ImplausibleSweep, RequestRefused

        faults, survives = FAULTS[fault]
        before = self.world.table()
        self.check_unchanged_since(before)
        sweep_may, sweep_must = False, False
        self.world.control.faults(faults)
        self.world.saved.clear()
        error: Exception | None = None
        counts: dict[str, Any] = {}
        if begin <= FETCH <= end:
            self.plan(run)
        if begin <= FILTER <= end:
            run.stored_then = set(self.stored)
        try:
            counts = self.world.pipeline.run(
                run.run_id,
                from_task=TASKS[begin],
                until=TASKS[end],
                mode=run.asked,
                direction=run.direction,
                dry_run=run.dry_run,
            )
        except (ApiUnavailable, RequestRefused, ImplausibleSweep) as err:
            error = err
        self.world.control.faults([])
        self.check_violations(run)
        if begin <= FETCH <= end:
            self.note_read(run)
        if isinstance(error, ApiUnavailable | RequestRefused):
            assert begin <= FETCH <= end, error
            assert survives is not True, error
            self.failed(run, FETCH, before)
            return
        assert survives is not False or end < FETCH, f"nothing failed although the API was {fault}"
        if begin <= LOAD <= end:
            sweep_may, sweep_must = self.sweep_fails(run)
        if error is not None:
            assert sweep_may, error
            self.world.steps["implausible sweeps"] += 1
            self.failed(run, LOAD, before)
            return
        assert not sweep_must, "so much is missing that the load should have refused it"
        self.went_well(run, begin, end, before, counts)

    def went_well(self, run: Run, begin: int, end: int, before: Rows, counts: dict[str, Any]) -> None:
        run.done = end + 1
        is_first_load = run.loaded_read is None
        after = self.world.table()
        if begin <= LOAD <= end and not run.dry_run:
            self.check_loaded(run, before, after)
            self.now += 1
            run.loaded_read, run.load_no = run.read_no, self.now
            run.has_watermark = run.mode == "incremental" or any(is_readable(read[0]) for read in run.reads.values())
        else:
            assert after == before
        if begin <= LOAD <= end:
            self.loaded[run.run_id] = list(after.values())
        if end < VERIFY:
            return
        run.is_verified = True
        self.check_row_of(run, counts)
        if begin <= FETCH:
            self.check_counts(run, counts, before, after, is_first_load=is_first_load)
        self.check_history()

    def failed(self, run: Run, task: int, before: Rows) -> None:
        run.done = task
        run.is_verified = False
        assert self.world.table() == before
        assert self.world.warehouse.run(run.run_id)["state"] == "failed"

    # The model

    def plan(self, run: Run) -> None:
        """Say how the run will read; a second try reads as the first did."""
        if run.mode is None:
            is_verified = any(self.has_proven(past, run.direction) for past in self.runs if past is not run)
            run.mode = "incremental" if run.asked == "incremental" and is_verified and self.stored else "full"

    def has_proven(self, past: Run, direction: str) -> bool:
        """Say whether a run's watermark counts: not where an older read was loaded since that run's reading began."""
        is_in_order = not any(other.read_no < past.read_no < other.load_no for other in self.runs if other is not past)
        is_of_scope = past.direction == direction and not past.dry_run
        return is_of_scope and past.is_verified and past.has_watermark and is_in_order

    def note_read(self, run: Run) -> None:
        """Keep what the run has read, or may have: while it did, the simulator may have changed a row."""
        self.now += 1
        run.read_no = self.now
        run.reads = {}
        changed: dict[str, list[Content]] = defaultdict(list)
        for saved in self.world.saved:
            changed[saved["id"]].append(saved)
        for referral_id, content in self.api.items():
            run.reads[referral_id] = [content, *changed[referral_id]]
            overlooked = referral_id in self.quiet or (referral_id in changed and changed[referral_id])
            if run.mode == "incremental" and overlooked:
                run.reads[referral_id].append(NOT_READ)
        for referral_id, versions in changed.items():
            if versions:
                self.api[referral_id] = versions[-1]
                self.quiet.discard(referral_id)

    def is_overtaken(self, run: Run) -> bool:
        """Say whether a full read that began later is in the table: then this one proves nothing about vanishing."""
        return any(
            other.mode == "full" and not other.dry_run and (other.loaded_read or 0) > run.read_no
            for other in self.runs
            if other is not run
        )

    def possible(self, run: Run, referral_id: str) -> list[Stored | None]:
        """Say what the load may make of a referral."""
        before = self.stored.get(referral_id)
        if referral_id not in run.reads:
            return self.possible_if_absent(run, referral_id, before)
        found: list[Stored | None] = []
        for version in run.reads[referral_id]:
            if version is NOT_READ or not is_readable(version) or not (run.fits(version) or before):
                found.append(before)
            elif before is None:
                found.append(Stored(version, False, run.read_no))
            else:
                is_older = version["updatedDateTime"] < before.content["updatedDateTime"]
                is_later = run.read_no >= before.read_no
                content = before.content if is_older else version
                found.append(Stored(content, before.missing and (is_older or not is_later), run.read_no))
                if not run.fits(version) and referral_id not in run.stored_then:
                    found.append(before)  # stored since by an older read: the next run sets it right
        return found

    def possible_if_absent(self, run: Run, referral_id: str, before: Stored | None) -> list[Stored | None]:
        proves = run.mode == "full" and not self.is_overtaken(run)
        if before is None or before.missing or not proves or before.read_no > run.read_no:
            return [before]
        gone = Stored(before.content, True, run.read_no)
        # It was back before the run went on: an incremental run may have seen that without writing it.
        return [gone, before] if referral_id in self.api else [gone]

    def sweep_fails(self, run: Run) -> tuple[bool, bool]:
        """Say whether the load may, and whether it must, refuse so many missing."""
        if run.mode != "full":
            return False, False
        shares = []
        for choose in (min, max):
            # The fewest, and the most, that may go missing.
            after = {
                referral_id: choose(options, key=lambda option: option is not None and option.missing)
                for referral_id in self.stored
                if (options := self.possible(run, referral_id))
            }
            gone = sum(
                option is not None and option.missing and not self.stored[referral_id].missing
                for referral_id, option in after.items()
            )
            still = self.stored.values() if run.dry_run else after.values()
            standing = sum(option is not None and not option.missing for option in still) - gone * run.dry_run
            shares.append(gone > MOST_MISSING * (gone + standing))
        # A second load counts what the first has marked.
        return (True, False) if run.loaded_read is not None else (shares[1], shares[0])

    # Comparisons

    def check_loaded(self, run: Run, before: Rows, after: Rows) -> None:
        """Compare each row with the model, and take over which of the possible versions it has."""
        expected = {
            referral_id: self.possible(run, referral_id) for referral_id in {*self.stored, *run.reads, *before, *after}
        }
        for referral_id, options in expected.items():
            row, earlier = after.get(referral_id), before.get(referral_id)
            if row is None:
                assert None in options, f"{referral_id} is not stored"
                continue
            found = [
                option
                for option in options
                if option is not None
                and option.content == row["raw_data"]
                and option.missing == (row["missing_since"] is not None)
            ]
            assert found, f"{referral_id}: {_brief(row)}, but expected one of {options}"
            check_columns(row)
            if earlier and earlier["missing_since"] and row["missing_since"]:
                assert row["missing_since"] == earlier["missing_since"]
            known = self.stored.get(referral_id)
            is_written = earlier is None or earlier["written_by"] != row["written_by"]
            read_no = max(known.read_no if known else 0, run.read_no) if is_written or known is None else known.read_no
            self.stored[referral_id] = Stored(row["raw_data"], row["missing_since"] is not None, read_no)

    def check_unchanged_since(self, table: Rows) -> None:
        assert {key: (row["raw_data"], row["missing_since"] is not None) for key, row in table.items()} == {
            key: (row.content, row.missing) for key, row in self.stored.items()
        }

    def check_violations(self, run: Run) -> None:
        """Without $filter, the first page of a listing of all directions is as it should be."""
        reads_all = run.direction == "any" or any(
            row.content["direction"] != "Incoming" for row in self.stored.values()
        )
        for found in self.world.control.violations():
            assert (found["rule"], found["text"]) == ("first_page", "The first page came without $filter."), found
            assert reads_all, found
        self.world.control.clear_violations()

    def check_row_of(self, run: Run, counts: dict[str, Any]) -> None:
        noted = self.world.warehouse.run(run.run_id)
        assert (noted["state"], noted["reason"], noted["mode"]) == ("success", None, run.mode), noted["mode_reason"]
        assert counts == {name: noted[name] for name in counts}
        skipped = sum(counts["skipped"].values())
        parts = counts["duplicates"] + counts["quarantined"] + counts["eligible"] + skipped + counts["closed"]
        assert counts["fetched"] == parts
        assert counts["eligible"] == counts["with_domain"] + counts["without_domain"] == counts["persisted"]
        written = counts["inserted"] + counts["updated"] + counts["unchanged"]
        assert written == counts["eligible"] + counts["closed"]

    def check_counts(self, run: Run, counts: dict[str, Any], before: Rows, after: Rows, *, is_first_load: bool) -> None:
        """Compare the counts of a run that was read, loaded and verified in one go."""
        if run.mode == "full" and not self.world.saved:
            fits = [referral_id for referral_id, (version, *_) in run.reads.items() if run.fits(version)]
            assert counts["eligible"] == len(fits)
            if run.dry_run:
                assert counts["inserted"] == len([referral_id for referral_id in fits if referral_id not in before])
        if run.dry_run or not is_first_load:
            return
        assert counts["inserted"] == len(after.keys() - before.keys())
        changed = {key for key, row in before.items() if after[key]["written_by"] != row["written_by"]}
        assert counts["updated"] == len(changed & run.reads.keys())

    def check_history(self) -> None:
        """No change stands twice, none is left out: each begins where the one before ended, the last is what stands."""
        stands = {
            row["referral_id"]: row["tracked"]
            for row in self.world.rows(
                "select referral_id, partner_center_tracked(stored) as tracked from partner_center_referrals as stored"
            )
        }
        last: dict[tuple[str, str], str | None] = {}
        for row in self.world.rows("select * from partner_center_referral_history order by history_id"):
            key = row["referral_id"], row["field"]
            assert row["old_value"] != row["new_value"], row
            assert last.get(key, row["old_value"]) == row["old_value"], row
            last[key] = row["new_value"]
        for (referral_id, name), value in last.items():
            assert stands[referral_id][name] == value, (referral_id, name)
        both = "select referral_id from partner_center_skipped natural join partner_center_referrals"
        assert self.world.rows(both) == []
        nameless = "select domain from partner_center_referrals where domain is not null except "
        assert self.world.rows(f"{nameless} select domain from partner_center_companies") == []

    def teardown(self) -> None:
        """Every loaded run's table can still be asked for."""
        for run_id, rows in self.loaded.items():
            stood = self.world.rows("select * from partner_center_referrals_as_of_run(%s)", run_id)
            expected = [{name: value for name, value in row.items() if name != "written_by"} for row in rows]
            assert sorted(stood, key=_id) == sorted(expected, key=_id), run_id

    def tick(self, what: str) -> None:
        self.world.steps["steps"] += 1
        self.world.steps[what] += 1
        self.world.let_pass(STEP_SECONDS)

    @staticmethod
    def pick(among: dict[str, Content], which: int) -> str:
        return list(among)[which % len(among)]


def check_columns(row: dict[str, Any]) -> None:
    """Compare the columns with the JSON beside them."""
    content = row["raw_data"]
    names = {"name": "name", "status": "status", "substatus": "substatus", "direction": "direction", "type": "type"}
    assert {column: row[column] for column in names} == {column: content[name] for column, name in names.items()}
    assert float(row["deal_value"]) == content["details"]["dealValue"]
    assert row["customer_name"] == content["customerProfile"]["name"]
    updated = f"{row['updated_at']:%Y-%m-%dT%H:%M:%S.%f}{row['updated_tick']}Z"
    assert updated == content["updatedDateTime"]
    (mail,) = [each["email"] for each in content["customerProfile"]["team"]] or [None]
    if mail is None:
        assert (row["domain"], row["domain_missing_reason"]) == (None, "no_email")
    elif mail.endswith("gmail.com"):
        assert (row["domain"], row["domain_missing_reason"]) == (None, "consumer_only")
    else:
        assert (row["domain"], row["domain_missing_reason"]) == (mail.partition("@")[2], None)


def _id(row: dict[str, Any]) -> Any:
    return row["referral_id"]


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    names = ("name", "status", "direction", "updated_at", "missing_since", "first_run_id", "last_run_id")
    return {name: str(row[name]) for name in names}


@pytest.fixture
def world(
    warehouse: Any, simulator: Any, signed_in: None, flag_on: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    # No overlap: a change that the watermark passes over would stay hidden behind it.
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_OVERLAP_MINUTES", "0")
    made = World(simulator, warehouse, monkeypatch)
    # A pause between two attempts takes no time here, but at the API, which insists on its Retry-After.
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=made.let_pass))
    yield made
    made.connection.close()


@pytest.mark.timeout(SHRINKING + int(EXAMPLES * STEPS_OF_AN_EXAMPLE * LONGEST_STEP))
def test_the_table_is_as_the_model_says_after_every_run(world: World) -> None:
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS_OF_AN_EXAMPLE,
        derandomize=not LONGER,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    )
    run_state_machine_as_test(lambda: Sync(world), settings=settings)
    print(dict(world.steps))  # noqa: T201 - shown by -s, and with a failure
    if not LONGER:
        assert world.steps["steps"] >= 200


# What a random search finds seldom: each was a bug once.


def stocked(world: World) -> Sync:
    """Return a machine whose stock is stored."""
    machine = Sync(world)
    machine.run("incremental", "Incoming", dry_run=False, fault="none")
    return machine


def died_before_loading_one_that_closed_since(machine: Sync) -> Run:
    """Let a run read a new referral and die; then that closes, and another one is updated."""
    machine.create("Incoming", "company", "New")
    machine.die("incremental", "Incoming", LOAD - 1)
    machine.update(len(machine.api) - 1, "Lost")
    machine.update(0, "name")
    return machine.runs[-1]


def test_a_read_that_is_loaded_after_a_later_one_leaves_nothing_behind_the_watermark(world: World) -> None:
    machine = stocked(world)
    dead = died_before_loading_one_that_closed_since(machine)
    machine.run("incremental", "Incoming", dry_run=False, fault="none")
    machine.go(dead, LOAD, VERIFY, "none")
    machine.run("incremental", "Incoming", dry_run=False, fault="none")


def test_a_read_that_is_loaded_within_a_later_one_leaves_nothing_behind_the_watermark(world: World) -> None:
    machine = stocked(world)
    dead = died_before_loading_one_that_closed_since(machine)
    machine.die("incremental", "Incoming", FILTER)
    late = machine.runs[-1]
    machine.go(dead, LOAD, VERIFY, "none")
    machine.go(late, FILTER + 1, VERIFY, "none")
    machine.run("incremental", "Incoming", dry_run=False, fault="none")


def test_a_referral_that_the_api_sends_unstorable_is_not_missing(world: World) -> None:
    machine = stocked(world)
    machine.update(0, "spoil")
    machine.run("full", "Incoming", dry_run=False, fault="none")
