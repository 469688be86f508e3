"""The staged rows of one run: the pipe between the tasks.

Pages go in by COPY while the next page is on its way: the database works on the wide JSON of page k until page k+1
has arrived. At most two pages are in memory.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import msgspec
import psycopg

from partner_center.contract import Drift
from partner_center.domains import CustomerDomain
from partner_center.erased_people import ErasedPeople
from partner_center.errors import ErasedMeanwhile
from partner_center.referral import Quarantined, Referral, parse

log = logging.getLogger(__name__)

_COPY_ROWS = """
copy partner_center_staged (
    run_id, row_no, page, referral_id, direction, status, created_at, updated_at, updated_tick, expires_at,
    closing_at, deal_value, hints, content_hash
) from stdin
"""
_COPY_PAYLOADS = "copy partner_center_staged_payloads (run_id, row_no, payload) from stdin"
_COPY_DOMAINS = """
copy partner_center_staged_domains (
    run_id, row_no, domain, domain_source, domain_missing_reason, domain_candidates, link_status
) from stdin
"""
_DROP_OLD = "select partner_center_drop_old_staging(%s)"
_OPEN = "select partner_center_open_staging(%s, %s)"
_ANALYZE = "select partner_center_analyze_staging(%s, %s)"
_READ_NOW = "update partner_center_sync_runs set read_at = now(), staged_at = null where run_id = %s"
_STAGED = "update partner_center_sync_runs set staged_at = now() where run_id = %s"
_ARRIVED_AT = """
update partner_center_sync_runs
set
    read_at = coalesce((select min(received_at) from partner_center_quarantine where replayed_at is null), now()),
    staged_at = null
where run_id = %s
"""
_ERASED = "select kind, fingerprint, salt from partner_center_erased_people"
_LAST_QUARANTINED = "select coalesce(max(quarantine_id), 0) from partner_center_quarantine where run_id = %s"
_FORGET_REPEATED = """
delete from partner_center_quarantine as earlier
using partner_center_quarantine as again
where
    earlier.run_id = %(run_id)s and earlier.quarantine_id <= %(last)s
    and again.run_id = %(run_id)s and again.quarantine_id > %(last)s
    and earlier.raw = again.raw
"""
_QUARANTINE = "insert into partner_center_quarantine (run_id, reason, raw) values (%s, %s, %s)"
_QUARANTINED = """
select quarantine_id, raw
from partner_center_quarantine
where replayed_at is null and (%(reason)s::text is null or reason = %(reason)s)
order by quarantine_id
"""
_HINTS = """
select staged.row_no, staged.outcome, staged.hints, own.referral_id is not null as has_own, own.domain as own_domain
from partner_center_staged as staged
left join partner_center_link_overrides as own on staged.referral_id = own.referral_id
where staged.run_id = %s and staged.outcome in ('eligible', 'closed')
"""

_DRIFT = """
insert into partner_center_contract_drift as known (
    kind, path, value, seen, example_referral_id, first_seen_at, last_seen_at, last_run_id
)
values (%s, %s, %s, %s, %s, now(), now(), %s)
on conflict (kind, path, value) do update set
    seen = excluded.seen, example_referral_id = excluded.example_referral_id, last_seen_at = excluded.last_seen_at,
    last_run_id = excluded.last_run_id
"""

MOST_DRIFT = 500
"""So many different unknown fields and values of a run are noted: it is a change of the API, not an open set."""

# SQLSTATE classes that speak of the row, not of the database: data exception, integrity, program limit exceeded.
_ROW_FAULTS = ("22", "23", "54")
# The number is taken: not the row's fault, another worker stages the same run.
_UNIQUE_VIOLATION = "23505"
_BATCH = 5_000

_Numbered = tuple[int, int, Referral]
"""Row number in the run, page number, row."""
_encode = msgspec.json.Encoder().encode


class StagingWriter:
    """Writes the pages of a run; each page is one transaction.

    A new writer begins with an empty staging area, so a second try of the task counts nothing twice. What an earlier
    try quarantined and this one reads again stands in the quarantine once; what the API sends no more stays there.

    Args:
        connection: to the warehouse; the writer commits on it.
        run_id: the run.
        kept: the staging of runs that read longer ago is dropped; None keeps it.
    """

    _READ_AT = _READ_NOW

    def __init__(
        self, connection: psycopg.Connection[Any], run_id: str, kept: timedelta | None = timedelta(days=7)
    ) -> None:
        self._connection = connection
        self._run_id = run_id
        self._kept = kept
        self._flying: tuple[AbstractContextManager[psycopg.Copy], list[_Numbered]] | None = None
        self.pages = 0
        self.fetched = 0
        self.quarantined = 0
        self._earlier = 0
        self._drift: Counter[Drift] = Counter()
        self._drift_examples: dict[Drift, str] = {}
        self._erased = ErasedPeople(())

    def __enter__(self) -> StagingWriter:
        """Empty the run's staging area, and drop those of runs too old to be cleared."""
        if self._kept is not None:
            self._connection.execute(_DROP_OLD, (self._kept,))
        for parent in (
            "partner_center_staged",
            "partner_center_staged_payloads",
            "partner_center_staged_domains",
        ):
            self._connection.execute(_OPEN, (parent, self._run_id))
        # With the emptying or not at all: what an earlier try staged must not count as read just now.
        self._connection.execute(self._READ_AT, (self._run_id,))
        row = self._connection.execute(_LAST_QUARANTINED, (self._run_id,)).fetchone()
        self._earlier = row[0] if row else 0
        self._erased = ErasedPeople(self._connection.execute(_ERASED))
        self._connection.commit()
        # Staging that a crash loses is fetched again: no reason to wait for the disk at every page.
        self._connection.execute("set synchronous_commit = off")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Finish the last page and collect the planner's statistics; when the run is failing, only let go of it."""
        if kind is not None:
            self._let_go(error)
            return
        self._land()
        self._refuse_what_was_read_too_early()
        self._connection.execute(_FORGET_REPEATED, {"run_id": self._run_id, "last": self._earlier})
        self._connection.execute(_ANALYZE, ("partner_center_staged", self._run_id))
        self._tell_drift()
        # Before this, a load would take for the whole what is a part.
        self._connection.execute(_STAGED, (self._run_id,))
        self._connection.commit()

    def add(self, page: int, rows: list[bytes]) -> None:
        """Stage one page's rows; those that cannot be stored go to the quarantine with their reason."""
        self.pages += 1
        good: list[_Numbered] = []
        bad: list[Quarantined] = []
        if self._erased:
            rows = [self._erased.strip(raw) for raw in rows]
        for raw in rows:
            self.fetched += 1
            row = parse(raw)
            if isinstance(row, Referral):
                good.append((self.fetched, page, row))
                for unknown in row.drift:
                    self._note_drift(unknown, row.referral_id)
            else:
                bad.append(row)
        self._land()
        self._quarantine(bad)
        self._take_off(good)

    def _refuse_what_was_read_too_early(self) -> None:
        """Whoever erases tells first and looks through the tables then: so either sees these pages, or they see it."""
        if len(ErasedPeople(self._connection.execute(_ERASED))) != len(self._erased):
            raise ErasedMeanwhile(
                "A person was erased while this run was reading, and may stand in what it has staged. Nothing of it "
                "is loaded: it is read anew, without the person, by itself."
            )

    def _take_off(self, rows: list[_Numbered]) -> None:
        cursor = self._connection.cursor()
        try:
            with cursor.copy(_COPY_ROWS) as copy:
                for row in rows:
                    copy.write_row(self._narrow(row))
            payloads = cursor.copy(_COPY_PAYLOADS)
            copy = payloads.__enter__()
            self._flying = (payloads, rows)
            for number, _, referral in rows:
                copy.write_row((self._run_id, number, referral.payload))
        except psycopg.Error as err:
            self._let_go(err)
            self._one_by_one(rows, err)

    def _let_go(self, error: BaseException | None) -> None:
        """End a COPY that is under way without keeping its rows."""
        if self._flying is None:
            return
        payloads, _ = self._flying
        self._flying = None
        with contextlib.suppress(psycopg.Error):  # the error that matters is the caller's
            payloads.__exit__(type(error) if error else None, error, None)

    def _land(self) -> None:
        """Wait until the database has the page that is under way."""
        if self._flying is None:
            return
        payloads, rows = self._flying
        self._flying = None
        try:
            payloads.__exit__(None, None, None)
            self._connection.commit()
        except psycopg.Error as err:
            self._one_by_one(rows, err)

    def _one_by_one(self, rows: list[_Numbered], err: psycopg.Error) -> None:
        """Find the row that PostgreSQL refused, which COPY cannot pass over."""
        if not _is_row_fault(err):
            raise err
        self._connection.rollback()
        log.warning(
            "PostgreSQL refused a row of page %d (SQLSTATE %s); storing it row by row.",
            rows[0][1],
            err.sqlstate,
        )
        for row in rows:
            try:
                with self._connection.transaction(), self._connection.cursor() as cursor:
                    with cursor.copy(_COPY_ROWS) as copy:
                        copy.write_row(self._narrow(row))
                    with cursor.copy(_COPY_PAYLOADS) as copy:
                        copy.write_row((self._run_id, row[0], row[2].payload))
            except psycopg.Error as refused:
                if not _is_row_fault(refused):
                    raise
                self._quarantine([Quarantined(f"refused_by_postgres_{refused.sqlstate}", row[2].payload)])
        self._connection.commit()

    def _note_drift(self, unknown: Drift, referral_id: str) -> None:
        if unknown in self._drift or len(self._drift) < MOST_DRIFT:
            self._drift[unknown] += 1
            self._drift_examples.setdefault(unknown, referral_id)

    def _tell_drift(self) -> None:
        """Keep what the API sent and this package does not know; with it, the rows are stored like any other."""
        if not self._drift:
            return
        values = [
            (*unknown, seen, self._drift_examples[unknown], self._run_id) for unknown, seen in self._drift.items()
        ]
        with self._connection.cursor() as cursor:
            cursor.executemany(_DRIFT, values)
        log.warning(
            "The API sent %d field(s) or value(s) that are not documented; the rows are stored all the same. See "
            "partner_center_contract_drift.",
            len(values),
        )

    def _quarantine(self, rows: list[Quarantined]) -> None:
        if not rows:
            return
        # A text of PostgreSQL holds no U+0000; as an escape it stays readable.
        values = [(self._run_id, row.reason, row.raw.replace("\x00", "\\u0000")) for row in rows]
        with self._connection.cursor() as cursor:
            cursor.executemany(_QUARANTINE, values)
        self._connection.commit()
        self.quarantined += len(rows)
        for reason, count in Counter(row.reason for row in rows).items():
            log.warning("Quarantined %d row(s): %s. Their text is in partner_center_quarantine.", count, reason)

    def _narrow(self, row: _Numbered) -> tuple[Any, ...]:
        number, page, referral = row
        return (
            self._run_id,
            number,
            page,
            referral.referral_id,
            referral.direction,
            referral.status,
            referral.created_at,
            referral.updated_at,
            referral.updated_tick,
            referral.expires_at,
            referral.closing_at,
            referral.deal_value,
            _encode(referral.hints).decode(),
            referral.content_hash,
        )


class ReplayWriter(StagingWriter):
    """Stages quarantined rows once more; those that still cannot be stored stay where they are."""

    # They are as old as their arrival: what was read later is newer.
    _READ_AT = _ARRIVED_AT

    def _quarantine(self, rows: list[Quarantined]) -> None:
        self.quarantined += len(rows)


def quarantined_rows(connection: psycopg.Connection[Any], reason: str | None) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of each quarantined row that was not stored since, the oldest first.

    Args:
        connection: to the warehouse; nothing else may be done on it meanwhile.
        reason: only rows of this reason; None: all.
    """
    with connection.cursor("quarantined") as cursor:
        cursor.execute(_QUARANTINED, {"reason": reason})
        for quarantine_id, raw in cursor:
            yield quarantine_id, raw.encode()


def write_domains(
    connection: psycopg.Connection[Any], run_id: str, extract: Callable[[Any], CustomerDomain]
) -> dict[str, int]:
    """Give every eligible and closed row of the run its customer domain.

    Args:
        connection: to the warehouse; everything is one transaction.
        run_id: the run.
        extract: from a row's hints to its `CustomerDomain`.

    Returns:
        with_domain and without_domain, of the eligible rows; a person's own link counts before what was extracted.
    """
    counts = {"with_domain": 0, "without_domain": 0}
    connection.execute(_OPEN, ("partner_center_staged_domains", run_id))
    for batch in _batches(connection, run_id):
        with connection.cursor().copy(_COPY_DOMAINS) as copy:
            for row_no, outcome, hints, has_own, own_domain in batch:
                found = extract(msgspec.json.decode(hints))
                if outcome == "eligible":
                    domain = own_domain if has_own else found.domain
                    counts["with_domain" if domain else "without_domain"] += 1
                copy.write_row(_domain_row(run_id, row_no, found))
    connection.execute(_ANALYZE, ("partner_center_staged_domains", run_id))
    return counts


def _batches(connection: psycopg.Connection[Any], run_id: str) -> Iterator[list[tuple[Any, ...]]]:
    with connection.cursor("hints") as cursor:
        cursor.execute(_HINTS, (run_id,))
        while batch := cursor.fetchmany(_BATCH):
            yield batch


def _domain_row(run_id: str, row_no: int, found: CustomerDomain) -> tuple[Any, ...]:
    candidates = [{"domain": c.domain, "source": c.source} for c in found.candidates]
    return (
        run_id,
        row_no,
        found.domain,
        found.source,
        found.missing_reason,
        _encode(candidates).decode(),
        found.link_status,
    )


def _is_row_fault(err: psycopg.Error) -> bool:
    return err.sqlstate is not None and err.sqlstate[:2] in _ROW_FAULTS and err.sqlstate != _UNIQUE_VIOLATION
