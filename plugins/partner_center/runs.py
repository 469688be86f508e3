"""The row of a run in ``partner_center_sync_runs``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from partner_center import warehouse
from partner_center.errors import PartnerCenterError
from partner_center.redaction import redact

log = logging.getLogger(__name__)

_OPEN = """
insert into partner_center_sync_runs (run_id, mode, direction, statuses, dry_run, state)
values (%(run_id)s, %(mode)s, %(direction)s, %(statuses)s, %(dry_run)s, 'running')
on conflict (run_id) do update set state = 'running', finished_at = null, reason = null
where partner_center_sync_runs.state <> 'success'
"""
_CLOSE_LOST = """
update partner_center_sync_runs
set
    state = 'failed', finished_at = now(),
    reason = 'The run ended without a word: its worker was lost. The next run makes it whole.'
where state = 'running' and run_id <> %s and greatest(started_at, read_at) < now() - %s::interval
"""
_HOLDS_OTHERS = """
select
    exists (select from partner_center_referrals where partner_center_folded(direction) < %(direction)s)
    or exists (select from partner_center_referrals where partner_center_folded(direction) > %(direction)s)
    or exists (select from partner_center_referrals where partner_center_folded(direction) is null)
"""
_FETCHED = """
update partner_center_sync_runs
set pages = %(pages)s, fetched = %(fetched)s, quarantined = %(quarantined)s
where run_id = %(run_id)s
"""
_CLOSE = """
update partner_center_sync_runs
set finished_at = now(), state = %(state)s, reason = %(reason)s,
    fetched = %(fetched)s, duplicates = %(duplicates)s, quarantined = %(quarantined)s, eligible = %(eligible)s,
    skipped = %(skipped)s, closed = %(closed)s, with_domain = %(with_domain)s, without_domain = %(without_domain)s,
    inserted = %(inserted)s, updated = %(updated)s, unchanged = %(unchanged)s, persisted = %(persisted)s
where run_id = %(run_id)s
"""
_FAIL = """
update partner_center_sync_runs set finished_at = now(), state = 'failed', reason = %s where run_id = %s
"""


LONGEST_RUN = timedelta(hours=2)
"""The DAG's dagrun_timeout."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run was asked for: the DAG's params."""

    run_id: str
    direction: str
    statuses: tuple[str, ...]
    max_pages: int | None
    dry_run: bool

    @property
    def mode(self) -> str:
        """What the run really does; without a watermark, every read is a full one."""
        return "full"

    @classmethod
    def from_params(cls, run_id: str, params: Mapping[str, Any]) -> RunRequest:
        """Take over the validated params of a DAG run."""
        return cls(
            run_id=run_id,
            direction=params["direction"],
            statuses=tuple(params["statuses"]),
            max_pages=params["max_pages"],
            dry_run=params["dry_run"],
        )


def open_run(request: RunRequest) -> None:
    """Write the run's row, or open it again; one that succeeded stays so until verify_counts says otherwise.

    Runs that are `running` for longer than a run may take have lost their worker: they are closed as failed.
    """
    with warehouse.connect() as connection:
        connection.execute(_CLOSE_LOST, (request.run_id, LONGEST_RUN))
        connection.execute(
            _OPEN,
            {
                "run_id": request.run_id,
                "mode": request.mode,
                "direction": request.direction,
                "statuses": list(request.statuses),
                "dry_run": request.dry_run,
            },
        )


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
    """Write what fetch_pages counted (pages, fetched, quarantined), so that a run that fails later tells it too."""
    with warehouse.connect() as connection:
        connection.execute(_FETCHED, {**counts, "run_id": run_id})


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


@contextlib.contextmanager
def failures_recorded(run_id: str) -> Iterator[None]:
    """Keep the reason of a failing task in the run's row; the error itself goes on its way."""
    try:
        yield
    except BaseException as err:  # Airflow's time-out of a task is none of Exception's
        known = isinstance(err, PartnerCenterError)
        reason = redact(str(err)) if known else f"Unexpected {type(err).__name__}; the task's log tells more."
        try:
            with warehouse.connect() as connection:
                connection.execute(_FAIL, (reason[:2000], run_id))
        except PartnerCenterError as second:
            log.warning("The failure could not be noted in partner_center_sync_runs: %s", second)
        raise
