"""The row of a run in ``partner_center_sync_runs``: what it was asked for, how it read, and how it ended."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from partner_center import accounts, read_plan, warehouse
from partner_center.accounts import Account
from partner_center.errors import PartnerCenterError
from partner_center.read_plan import Past, ReadPlan
from partner_center.redaction import redact
from partner_center.rules import RULES

log = logging.getLogger(__name__)

_OPEN = """
insert into partner_center_sync_runs (run_id, mode, direction, statuses, dry_run, state)
values (%(run_id)s, %(mode)s, %(direction)s, %(statuses)s, %(dry_run)s, 'running')
on conflict (run_id) do update set state = 'running', finished_at = null, reason = null
where partner_center_sync_runs.state = 'skipped'
"""
_USUAL = """
select coalesce(max(extract(epoch from latest.finished_at - latest.started_at)), 0)
from (
    select started_at, finished_at
    from partner_center_sync_runs
    where state = 'success'
    order by started_at desc
    limit 5
) as latest
"""
_ACCOUNT = "update partner_center_sync_runs set account = %s where run_id = %s"
_END_EARLY = """
insert into partner_center_sync_runs (run_id, mode, direction, statuses, dry_run, state, reason, finished_at)
values (%(run_id)s, %(mode)s, %(direction)s, %(statuses)s, %(dry_run)s, %(state)s, %(reason)s, now())
on conflict (run_id) do update set state = excluded.state, reason = excluded.reason, finished_at = now()
where partner_center_sync_runs.state <> 'success'
"""
_CLOSE_LOST = """
update partner_center_sync_runs
set
    state = 'failed', finished_at = now(),
    reason = 'The run ended without a word: its worker was lost. The next run makes it whole.'
where state = 'running' and run_id <> %s and greatest(started_at, read_at) < now() - %s::interval
"""
_CLOSE_UNFINISHED = """
update partner_center_sync_runs
set
    state = 'failed', finished_at = now(),
    reason = 'The run ended without a word: its worker was lost, or somebody ended it. The next run makes it whole.'
where run_id = %s and state = 'running'
"""
_STATE = "select state from partner_center_sync_runs where run_id = %s"
# The ends of the index, one row each: of `exists (… < …)` a planner without statistics expects the answer in the first
# rows of the table, and reads all of it when there is none.
_HOLDS_OTHERS = """
select
    coalesce(
        (select min(partner_center_folded(direction)) from partner_center_referrals) < %(direction)s
        or (select max(partner_center_folded(direction)) from partner_center_referrals) > %(direction)s,
        false
    )
    or exists (select from partner_center_referrals where partner_center_folded(direction) is null)
"""
_PLANNED = """
select mode, strategy, mode_reason as reason, watermark_before as watermark, read_since as since
from partner_center_sync_runs
where run_id = %(run_id)s and scope = %(scope)s and strategy is not null
"""
# A watermark counts when its run was verified, when no earlier state of the table was written back since, and when what
# was read before it was loaded before it: a load that comes late may store what this run has passed over as not
# eligible, in a version that is no longer true. Whether the table is empty is asked of an index: what was written back
# stands behind pages that are empty now.
_PAST = """
with in_order as (
    select
        run_id,
        read_at,
        max(loaded_at) over (order by read_at rows between unbounded preceding and 1 preceding) as loaded_before
    from partner_center_sync_runs
    where loaded_at > now() - interval '30 days' and not dry_run
),

same as (
    select *
    from partner_center_sync_runs
    where started_at > now() - interval '30 days' and scope = %(scope)s and run_id <> %(run_id)s and not dry_run
),

verified as (
    select *
    from same
    where
        state = 'success'
        and run_id in (select run_id from in_order where loaded_before is null or loaded_before < read_at)
        and loaded_at > coalesce(
            (select max(loaded_at) from partner_center_sync_runs where mode = 'restore'), '-infinity'
        )
),

last_full as (
    select max(started_at) as started_at
    from verified
    where mode = 'full'
)

select
    (select max(watermark) from verified) as watermark,
    (
        select strategy
        from same
        where mode = 'incremental' and started_at > coalesce((select started_at from last_full), '-infinity')
        order by started_at desc
        limit 1
    ) as strategy,
    (select started_at from last_full) as last_full,
    (select max(started_at) from same where mode = 'full') as last_full_try,
    (select min(referral_id) from partner_center_referrals) is null as is_empty,
    now() as now
"""
_PLAN = """
update partner_center_sync_runs
set
    mode = %(mode)s, mode_reason = %(reason)s, strategy = %(strategy)s, scope = %(scope)s,
    watermark_before = %(watermark)s, read_since = %(since)s
where run_id = %(run_id)s
"""
_STRATEGY = "update partner_center_sync_runs set strategy = %s where run_id = %s"
_FETCHED = """
update partner_center_sync_runs
set pages = %(pages)s, fetched = %(fetched)s, quarantined = %(quarantined)s
where run_id = %(run_id)s and state <> 'success'
"""
_FAILED_REQUESTS = "update partner_center_sync_runs set failed_requests = %s where run_id = %s"
_CLOSE = """
update partner_center_sync_runs
set finished_at = now(), state = %(state)s, reason = %(reason)s,
    fetched = %(fetched)s, duplicates = %(duplicates)s, quarantined = %(quarantined)s, eligible = %(eligible)s,
    skipped = %(skipped)s, closed = %(closed)s, with_domain = %(with_domain)s, without_domain = %(without_domain)s,
    inserted = %(inserted)s, updated = %(updated)s, unchanged = %(unchanged)s, persisted = %(persisted)s,
    vanished = %(vanished)s
where run_id = %(run_id)s
"""
_FAIL = """
update partner_center_sync_runs set finished_at = now(), state = 'failed', reason = %s where run_id = %s
"""
_REPLAYED = """
update partner_center_quarantine
set replayed_at = now(), replay_run_id = %(run_id)s
from partner_center_staged
where
    partner_center_staged.run_id = %(run_id)s
    and partner_center_quarantine.quarantine_id = partner_center_staged.page
    and partner_center_quarantine.replayed_at is null
"""
_FORGET_HISTORY = """
with versions as (
    delete from partner_center_referral_versions where superseded_at < now() - %(kept)s::interval
)

delete from partner_center_referral_history where changed_at < now() - %(kept)s::interval
"""
_FORGET_QUARANTINE = "delete from partner_center_quarantine where received_at < now() - %(kept)s::interval"


LONGEST_RUN = timedelta(hours=2)
"""The DAG's dagrun_timeout."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run was asked for: the DAG's params, and the version of the rules that it works by.

    Attributes:
        mode: ``incremental`` or ``full``, as asked; `plan_read` says what is really done.
        rules: versions of mapping and filter; rows of other rules are read anew.
        account: whose referrals it reads, and whose tables it writes.
    """

    run_id: str
    mode: str
    direction: str
    statuses: tuple[str, ...]
    max_pages: int | None
    dry_run: bool
    rules: str = RULES
    account: Account = accounts.DEFAULT

    @classmethod
    def from_params(cls, run_id: str, params: Mapping[str, Any], account: Account = accounts.DEFAULT) -> RunRequest:
        """Take over the validated params of a DAG run."""
        return cls(
            run_id=run_id,
            mode=params["mode"],
            direction=params["direction"],
            statuses=tuple(params["statuses"]),
            max_pages=params["max_pages"],
            dry_run=params["dry_run"],
            account=account,
        )

    def scope(self, api: str, account_id: str, more_rules: str) -> dict[str, Any]:
        """Return what a watermark holds for; whatever differs here makes the next read a full one."""
        return {
            "api": api,
            "account": account_id,
            "direction": self.direction.lower(),
            "statuses": sorted({status.lower() for status in self.statuses}),
            "rules": f"{self.rules}, {more_rules}",
        }

    def columns(self) -> dict[str, Any]:
        """Return the values of the run's row that are known from the start."""
        return {
            "run_id": self.run_id,
            "mode": self.mode,
            "direction": self.direction,
            "statuses": list(self.statuses),
            "dry_run": self.dry_run,
        }


def open_run(request: RunRequest) -> float:
    """Write the run's row, and return how long a run may take: the longest of the last five, in seconds.

    A row that succeeded or failed stays so until verify_counts says otherwise: a task that was cleared alone is
    followed by none that could end the run again, and must not say `running`.

    Runs that are `running` for longer than a run may take have lost their worker: they are closed as failed.
    """
    with warehouse.connect() as connection:
        connection.execute(_CLOSE_LOST, (request.run_id, LONGEST_RUN))
        connection.execute(_OPEN, request.columns())
        usual = connection.execute(_USUAL).fetchone()
    return float(usual[0]) if usual else 0.0


def note_account(run_id: str, account: str) -> None:
    """Keep who is signed in, masked: a Referrals User sees less than a Referrals Admin."""
    with warehouse.connect() as connection:
        connection.execute(_ACCOUNT, (account, run_id))


def end_early(request: RunRequest, state: str, reason: str) -> None:
    """Write the row of a run that ends before it reads: ``skipped`` or ``failed``, and why.

    A warehouse that is away, or without our tables, changes nothing about how such a run ends.
    """
    try:
        with warehouse.connect() as connection:
            connection.execute(_END_EARLY, {**request.columns(), "state": state, "reason": redact(reason)[:2000]})
    except PartnerCenterError as err:
        log.info("This could not be noted in partner_center_sync_runs: %s", err)


def close_unfinished(run_id: str) -> str | None:
    """Close the run's row where no task could; return its state, or None where the run has no row."""
    with warehouse.connect() as connection:
        connection.execute(_CLOSE_UNFINISHED, (run_id,))
        row = connection.execute(_STATE, (run_id,)).fetchone()
    return str(row[0]) if row else None


def plan_read(
    request: RunRequest, scope: Mapping[str, Any], overlap: timedelta, sweep_every: timedelta | None
) -> ReadPlan:
    """Decide how the run reads, and keep it in its row: a second try, or a cleared run, reads at least as much.

    Args:
        request: the run.
        scope: what its watermark will hold for, see `RunRequest.scope`.
        overlap: see `read_plan.plan`.
        sweep_every: see `read_plan.plan`.
    """
    key = {"run_id": request.run_id, "scope": Jsonb(scope)}
    with warehouse.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        planned = cursor.execute(_PLANNED, key).fetchone()
        if planned:
            return ReadPlan(**planned)
        past = cursor.execute(_PAST, key).fetchone() or {}
        now = past.pop("now")
        plan = read_plan.plan(request.mode, Past(**past), now, overlap, sweep_every)
        cursor.execute(
            _PLAN,
            {
                **key,
                "mode": plan.mode,
                "reason": plan.reason,
                "strategy": plan.strategy,
                "watermark": plan.watermark,
                "since": plan.since,
            },
        )
    return plan


def note_strategy(run_id: str, strategy: str) -> None:
    """Keep how the API is asked; the next runs begin with that."""
    with warehouse.connect() as connection:
        connection.execute(_STRATEGY, (strategy, run_id))


def direction_to_read(request: RunRequest) -> str:
    """Return which direction to ask the API for: ``any`` where referrals of another one are stored already.

    They have to be brought up to date, whatever the run was asked for.
    """
    if request.direction.lower() == "any":
        return request.direction
    with warehouse.connect() as connection:
        row = connection.execute(_HOLDS_OTHERS, {"direction": request.direction.lower()}).fetchone()
    if row is None or not row[0]:
        return request.direction
    log.info("Referrals of other directions than %s are stored, too: all are read.", request.direction)
    return "any"


def note_fetched(run_id: str, counts: Mapping[str, int]) -> None:
    """Write what fetch_pages counted (pages, fetched, quarantined), so that a run that fails later tells it too.

    A run that succeeded keeps the counts that were verified together, until they are verified anew.
    """
    with warehouse.connect() as connection:
        connection.execute(_FETCHED, {**counts, "run_id": run_id})


@contextlib.contextmanager
def failed_requests_noted(run_id: str, failures: list[dict[str, str]]) -> Iterator[None]:
    """Keep the ids of requests that got no page, also of a read that succeeded in the end."""
    try:
        yield
    finally:
        if failures:
            with _best_effort(), warehouse.connect() as connection:
                connection.execute(_FAILED_REQUESTS, (Jsonb(failures), run_id))


def close_run(run_id: str, state: str, reason: str | None, counts: Mapping[str, Any]) -> None:
    """Write the run's end and its counts."""
    values = {
        **counts,
        "skipped": Jsonb(counts["skipped"]),
        "run_id": run_id,
        "state": state,
        "reason": reason,
    }
    with warehouse.connect() as connection:
        connection.execute(_CLOSE, values)


def note_replayed(run_id: str) -> int:
    """Mark the quarantined rows that a replay has staged, and that are verified now; return how many."""
    with warehouse.connect() as connection:
        return connection.execute(_REPLAYED, {"run_id": run_id}).rowcount


def forget_old(history: timedelta | None, quarantine: timedelta | None) -> None:
    """Delete history (with the versions) and quarantined rows that are older; None keeps them for ever."""
    with warehouse.connect() as connection:
        for kept, statement in ((history, _FORGET_HISTORY), (quarantine, _FORGET_QUARANTINE)):
            if kept is not None:
                connection.execute(statement, {"kept": kept})


@contextlib.contextmanager
def failures_recorded(run_id: str) -> Iterator[None]:
    """Keep the reason of a failing task in the run's row; the error itself goes on its way."""
    try:
        yield
    except BaseException as err:  # Airflow's time-out of a task is none of Exception's
        known = isinstance(err, PartnerCenterError)
        reason = redact(str(err)) if known else f"Unexpected {type(err).__name__}; the task's log tells more."
        with _best_effort(), warehouse.connect() as connection:
            connection.execute(_FAIL, (reason[:2000], run_id))
        raise


@contextlib.contextmanager
def _best_effort() -> Iterator[None]:
    """Let no second failure, while a first is told, take that one's place."""
    try:
        yield
    except PartnerCenterError as second:
        log.warning("The failure could not be noted in partner_center_sync_runs: %s", second)
