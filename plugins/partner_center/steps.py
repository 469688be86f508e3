"""What each task does, in the order of the data's way. Rows stay in the warehouse; only counts are returned.

The steps `filter_referrals` and `load_referrals` are SQL files, run by `operators.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from partner_center import airflow_store, report, runs, warehouse
from partner_center.errors import ConfigurationError, CountMismatch, SignInRequired
from partner_center.runs import RunRequest
from partner_center.settings import (
    AUTO_MIGRATE_VARIABLE,
    CONSUMER_DOMAINS_VARIABLE,
    ENABLED_VARIABLE,
    parse_flag,
)

log = logging.getLogger(__name__)

Counts = dict[str, Any]


def acquire_token() -> Counts:
    """Make sure that somebody is signed in and the token lives long enough; the token itself stays in the cache.

    Raises:
        AirflowSkipException: the flag is off, or a person has to sign in. The reason says how.
    """
    if not airflow_store.sync_enabled():
        _skip(
            f"The sync is switched off: no call was made. To switch it on, set the Variable {ENABLED_VARIABLE} to true "
            "(Admin > Variables)."
        )
    from partner_center.hook import PartnerCenterHook

    try:
        token = PartnerCenterHook().tokens.current()
    except SignInRequired as err:
        _skip(f"sign_in_required: {err}")
    log.info("Signed in as %s; the access token lasts for %d s.", token.account, token.expires_in)
    return {"account": token.account, "expires_in": token.expires_in}


def _skip(reason: str) -> NoReturn:
    from airflow.sdk.exceptions import AirflowSkipException

    # Airflow itself logs that a task was skipped, but not why.
    log.warning("%s", reason)
    raise AirflowSkipException(reason)


def fetch_pages(request: RunRequest, migrations: Path) -> Counts:
    """Bring the schema up to date, then read every page into the run's staging area."""
    from partner_center.hook import PartnerCenterHook
    from partner_center.staging import StagingWriter

    auto_migrate = parse_flag(airflow_store.setting(AUTO_MIGRATE_VARIABLE, "true"), AUTO_MIGRATE_VARIABLE)
    warehouse.ensure_schema(migrations, auto_migrate=auto_migrate)
    runs.open_run(request)
    direction = runs.direction_to_read(request)
    pages = 0
    with (
        runs.failures_recorded(request.run_id),
        warehouse.connect() as connection,
        StagingWriter(connection, request.run_id) as writer,
    ):
        for page in PartnerCenterHook().client.pages(direction, request.max_pages):
            writer.add(page.number, page.rows)
            pages = page.number
            log.info("Page %d: %d rows, %d so far (%s).", page.number, len(page.rows), writer.fetched, page.answer)
    counts = {"pages": pages, "fetched": writer.fetched, "quarantined": writer.quarantined}
    runs.note_fetched(request.run_id, counts)
    log.info("Fetched %d rows on %d pages, %d of them quarantined.", writer.fetched, pages, writer.quarantined)
    return {"mode": request.mode, **counts}


def extract_domains(run_id: str) -> Counts:
    """Find the customer's domain of each eligible or closed row."""
    from partner_center.domains import DomainExtractor
    from partner_center.staging import write_domains

    extra = airflow_store.setting(CONSUMER_DOMAINS_VARIABLE, "").replace(",", " ").split()
    with runs.failures_recorded(run_id), warehouse.connect() as connection:
        try:
            extractor = DomainExtractor(extra)
        except ValueError as err:
            raise ConfigurationError(
                f"The Variable {CONSUMER_DOMAINS_VARIABLE} holds what is no mail domain: {err}. Correct it (domains, "
                "separated by commas or spaces) and clear this task."
            ) from err
        counts = write_domains(connection, run_id, extractor.extract)
    log.info(
        "%d referrals with a domain, %d without: both are loaded.",
        counts["with_domain"],
        counts["without_domain"],
    )
    return counts


def verify_counts(request: RunRequest, xcom: Any, sql: Path) -> Counts:
    """Read back what stands in the table, check the accounts, and close the run's row.

    Args:
        request: the run.
        xcom: the task instance, whose `xcom_pull` gives the earlier tasks' counts.
        sql: folder of the sync's SQL files.

    Raises:
        CountMismatch: an equation is broken or an eligible referral is missing.
    """
    with runs.failures_recorded(request.run_id):
        return _verified(request, _upstream_counts(request, xcom), (sql / "verify_counts.sql").read_text("utf-8"))


def _verified(request: RunRequest, counts: Counts, statement: str) -> Counts:
    with warehouse.connect() as connection:
        found = warehouse.run_sql(connection, statement, {"run_id": request.run_id, "dry_run": request.dry_run})
    counts["persisted"] = found["persisted"]
    log.info("%s%s", "Dry run, nothing was written: " if request.dry_run else "", report.funnel(counts))
    try:
        report.check_staged(counts, found)
        report.check(counts)
        report.check_persisted(counts, found)
    except CountMismatch as err:
        runs.close_run(request.run_id, "failed", str(err), counts)
        raise
    runs.close_run(request.run_id, "success", None, counts)
    return counts


def _upstream_counts(request: RunRequest, xcom: Any) -> Counts:
    counts: Counts = {"mode": request.mode}
    for task_id in ("fetch_pages", "filter_referrals", "extract_domains", "load_referrals"):
        upstream: Mapping[str, Any] | None = xcom.xcom_pull(task_ids=task_id)
        if upstream is None:
            raise CountMismatch(f"{task_id} left no counts, so nothing can be verified. Clear it with what follows.")
        counts |= {name: value for name, value in upstream.items() if name in COUNTED}
    return counts


COUNTED = frozenset(
    {
        "fetched", "duplicates", "quarantined", "eligible", "skipped", "closed", "with_domain", "without_domain",
        "inserted", "updated", "unchanged",
    }
)  # fmt: skip
