"""What each task does, in the order of the data's way. Rows stay in the warehouse; only counts are returned.

The steps `filter_referrals` and `load_referrals` are SQL files, run by `operators.py`.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

from partner_center import airflow_store, lineage, listing, log_fields, measures, report, runs, warehouse
from partner_center.accounts import Account
from partner_center.errors import (
    ConfigurationError,
    CountMismatch,
    PartnerCenterError,
    RequestRefused,
    SignInRequired,
    TooManyQuarantined,
)
from partner_center.read_plan import BY_FILTER, BY_ORDER, FULL, REPLAY, ReadPlan
from partner_center.runs import RunRequest
from partner_center.settings import (
    AUTO_MIGRATE_VARIABLE,
    CONSUMER_DOMAINS_VARIABLE,
    ENABLED_VARIABLE,
    HISTORY_DAYS_VARIABLE,
    OVERLAP_VARIABLE,
    QUARANTINE_DAYS_VARIABLE,
    QUARANTINE_ROWS_VARIABLE,
    QUARANTINE_SHARE_VARIABLE,
    STAGING_DAYS_VARIABLE,
    SWEEP_VARIABLE,
    parse_flag,
)

if TYPE_CHECKING:
    from partner_center.client import Page, ReferralClient
    from partner_center.staging import StagingWriter

log = logging.getLogger(__name__)

Counts = dict[str, Any]

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Step = Callable[Concatenate[RunRequest, _Given], _Result]


def _in_its_tables(step: _Step[_Given, _Result]) -> _Step[_Given, _Result]:
    """Let a step see the tables of its run's account alone, and its log lines say so.

    The mode in them is the one that was asked for; how the run reads in the end stands among the counts.
    """

    @functools.wraps(step)
    def bound(request: RunRequest, /, *args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        fields = log_fields.of(request.account.connection_id, asked_mode=request.mode)
        with warehouse.tables_of(request.account), fields:
            return step(request, *args, **kwargs)

    return bound


@_in_its_tables
def acquire_token(request: RunRequest, migrations: Path) -> Counts:
    """Make sure that somebody is signed in and the token lives long enough; the token itself stays in the cache.

    Args:
        request: the run; its row is opened here, or says why the run ends here.
        migrations: folder of alembic's scripts.

    Raises:
        AirflowSkipException: the flag is off, or a person has to sign in. The reason says how.
    """
    try:
        if not airflow_store.sync_enabled(request.account):
            _skip(request, f"{_switched_off(request.account)}{_ending_sign_in(request.account)}")
        from partner_center.hook import PartnerCenterHook

        usual_seconds = _noted(request, migrations)
        # What would end within the run is renewed now.
        token = PartnerCenterHook(request.account.connection_id).tokens.current(lasting=usual_seconds or 0)
    except SignInRequired as err:
        _skip(request, f"sign_in_required: {err}{_whose_sign_in(request.account)}")
    except PartnerCenterError as err:
        runs.end_early(request, "failed", str(err))
        raise
    if usual_seconds is not None:
        runs.note_account(request.run_id, token.account)
    log.info("Signed in as %s; the access token lasts for %d s.", token.account, token.expires_in)
    return {"account": token.account, "expires_in": token.expires_in}


def _switched_off(account: Account) -> str:
    own = "" if account.is_default else f", and {account.enabled_variable} to true or delete it"
    return (
        "The sync is switched off: no call was made. To switch it on, set the Variable "
        f"{ENABLED_VARIABLE} to true{own} (Admin > Variables)."
    )


def _ending_sign_in(account: Account) -> str:
    """Warn 14 days ahead: with the sync switched off, nothing keeps the sign-in alive. No call is made for that."""
    from partner_center.hook import PartnerCenterHook

    try:
        kept = PartnerCenterHook(account.connection_id).tokens.signed_in()
    except PartnerCenterError:
        # It is what a sync would need: whoever switches it on is told by that.
        return ""
    if kept is None or kept.ends_at is None or not kept.ends_soon:
        return ""
    return (
        f" The sign-in of {kept.account} ends on {kept.ends_at:%Y-%m-%d}, unless a run uses it before: switch the sync "
        "on for one run until then, or a person has to sign in again."
    )


def _whose_sign_in(account: Account) -> str:
    if account.is_default:
        return ""
    return f" This is the account {account.connection_id}: give that as the DAG's param connection, or as --connection."


def _skip(request: RunRequest, reason: str) -> NoReturn:
    from airflow.sdk.exceptions import AirflowSkipException

    runs.end_early(request, "skipped", reason)
    # Airflow itself logs that a task was skipped, but not why.
    log.warning("%s", reason)
    raise AirflowSkipException(reason)


def _noted(request: RunRequest, migrations: Path) -> float | None:
    """Give the run its row from the start, and return how long it may take, in seconds.

    None where that does not work: fetch_pages then says so loudly.
    """
    try:
        ensure_schema(migrations)
        return runs.open_run(request)
    except PartnerCenterError as err:
        log.warning("The run cannot be noted in partner_center_sync_runs yet: %s", err)
        return None


def ensure_schema(migrations: Path) -> None:
    """Bring the schema up to date, or check that it is, as the setting says."""
    auto_migrate = parse_flag(airflow_store.setting(AUTO_MIGRATE_VARIABLE, "true"), AUTO_MIGRATE_VARIABLE)
    warehouse.ensure_schema(migrations, auto_migrate=auto_migrate)


@_in_its_tables
def fetch_pages(request: RunRequest, migrations: Path) -> Counts:
    """Bring the schema up to date, then read what changed, or everything, into the run's staging area."""
    from partner_center.hook import PartnerCenterHook
    from partner_center.staging import StagingWriter

    ensure_schema(migrations)
    runs.open_run(request)
    hook = PartnerCenterHook(request.account.connection_id)
    with runs.failures_recorded(request.run_id):
        plan = _plan(request, hook)
        kept = airflow_store.days(STAGING_DAYS_VARIABLE, 7)
        with (
            runs.failed_requests_noted(request.run_id, hook.client.failures),
            warehouse.connect() as connection,
            StagingWriter(connection, request.run_id, kept) as writer,
        ):
            strategy = _read(request, plan, hook.client, writer)
            lineage.read_api(hook)
            lineage.wrote_table(connection, request.account, lineage.STAGED)
        counts = {"pages": writer.pages, "fetched": writer.fetched, "quarantined": writer.quarantined}
        runs.note_fetched(request.run_id, counts)
    told: Counts = {"mode": plan.mode, "strategy": strategy, **counts}
    with log_fields.counted(told):
        log.info(
            "Fetched %d rows on %d pages, %d of them quarantined.", writer.fetched, writer.pages, writer.quarantined
        )
    return told


def _plan(request: RunRequest, hook: Any) -> ReadPlan:
    consumer_domains = airflow_store.setting(CONSUMER_DOMAINS_VARIABLE, "")
    scope = request.scope(
        hook.settings.collection_url,
        hook.tokens.current().account_id,
        f"consumer domains {hashlib.sha256(consumer_domains.encode()).hexdigest()[:8]}" if consumer_domains else "",
    )
    overlap = timedelta(minutes=airflow_store.number(OVERLAP_VARIABLE, 15))
    every = timedelta(hours=airflow_store.number(SWEEP_VARIABLE, 24)) or None
    plan = runs.plan_read(request, scope, overlap, every)
    log.info("Reading mode %s: %s.", plan.mode, plan.reason)
    return plan


def _read(request: RunRequest, plan: ReadPlan, client: ReferralClient, writer: StagingWriter) -> str:
    """Stage every page of the plan's listing; return how the API was asked in the end."""
    if plan.since is None:
        _stage(client.pages(listing.everything(runs.direction_to_read(request)), request.max_pages), writer)
        return plan.strategy
    if plan.strategy == BY_FILTER:
        try:
            _stage(client.pages(listing.changes_by_filter(plan.since), request.max_pages), writer)
        except RequestRefused as err:
            if err.status != 400 or writer.pages:
                raise
            log.info("The API refuses a $filter on updatedDateTime: asking for the newest first instead.")
            runs.note_strategy(request.run_id, BY_ORDER)
        else:
            return BY_FILTER
    newest_first = listing.changes_by_order(plan.since, runs.direction_to_read(request))
    _stage(client.pages(newest_first, request.max_pages), writer)
    return BY_ORDER


@_in_its_tables
def read_quarantine(request: RunRequest, migrations: Path, reason: str | None) -> Counts:
    """Stage every quarantined row that was not stored since, in place of what fetch_pages reads.

    Args:
        request: the replay's run.
        migrations: folder of alembic's scripts.
        reason: only rows that were quarantined for this; None: all.
    """
    from partner_center.staging import ReplayWriter, quarantined_rows

    ensure_schema(migrations)
    runs.open_run(request)
    with (
        runs.failures_recorded(request.run_id),
        warehouse.connect() as reading,
        warehouse.connect() as writing,
        ReplayWriter(writing, request.run_id, None) as writer,
    ):
        for quarantine_id, raw in quarantined_rows(reading, reason):
            # The row's number in the quarantine takes the place of the page's: by it, note_replayed finds the row.
            writer.add(quarantine_id, [raw])
        lineage.read_table(reading, request.account, lineage.QUARANTINE)
        lineage.wrote_table(writing, request.account, lineage.STAGED)
    counts = {"fetched": writer.fetched, "quarantined": writer.quarantined}
    runs.note_fetched(request.run_id, {"pages": 0, **counts})
    told: Counts = {"mode": REPLAY, **counts}
    with log_fields.counted(told):
        log.info("%d quarantined rows, %d of them still cannot be stored.", writer.fetched, writer.quarantined)
    return told


def _stage(pages: Iterable[Page], writer: StagingWriter) -> None:
    for page in pages:
        writer.add(page.number, page.rows)
        log.info("Page %d: %d rows, %d so far (%s).", page.number, len(page.rows), writer.fetched, page.answer)


@_in_its_tables
def extract_domains(request: RunRequest) -> Counts:
    """Find the customer's domain of each eligible or closed row."""
    from partner_center.domains import DomainExtractor
    from partner_center.staging import write_domains

    extra = airflow_store.setting(CONSUMER_DOMAINS_VARIABLE, "").replace(",", " ").split()
    with runs.failures_recorded(request.run_id), warehouse.connect() as connection:
        try:
            extractor = DomainExtractor(extra)
        except ValueError as err:
            raise ConfigurationError(
                f"The Variable {CONSUMER_DOMAINS_VARIABLE} holds what is no mail domain: {err}. Correct it (domains, "
                "separated by commas or spaces) and clear this task."
            ) from err
        counts = write_domains(connection, request.run_id, extractor.extract)
    with log_fields.counted(counts):
        log.info(
            "%d referrals with a domain, %d without: both are loaded.",
            counts["with_domain"],
            counts["without_domain"],
        )
    return counts


@_in_its_tables
def verify_counts(request: RunRequest, xcom: Any, sql: Path, *, source: str = "fetch_pages") -> Counts:
    """Read back what stands in the table, check the accounts, and close the run's row.

    Args:
        request: the run.
        xcom: the task instance, whose `xcom_pull` gives the earlier tasks' counts.
        sql: folder of the sync's SQL files.
        source: the task that staged the rows.

    Raises:
        CountMismatch: an equation is broken or an eligible referral is missing.
        TooManyQuarantined: more rows than the settings allow could not be stored.
    """
    with runs.failures_recorded(request.run_id):
        counts, more = _upstream_counts(xcom, source)
        return _verified(request, counts, more, (sql / "verify_counts.sql").read_text("utf-8"))


def _verified(request: RunRequest, counts: Counts, more: Counts, statement: str) -> Counts:
    with warehouse.connect() as connection:
        found = warehouse.run_sql(connection, statement, {"run_id": request.run_id, "dry_run": request.dry_run})
        lineage.read_table(connection, request.account, lineage.REFERRALS)
    counts["persisted"] = found["persisted"]
    with log_fields.counted(counts):
        log.info("%s%s", "Dry run, nothing was written: " if request.dry_run else "", report.funnel(counts))
    try:
        report.check_staged(counts, found)
        report.check(counts)
        report.check_persisted(counts, found)
        report.check_marked(more["unmarked"])
        if counts["quarantined"] and counts["mode"] != REPLAY:
            limits = (QUARANTINE_ROWS_VARIABLE, 50), (QUARANTINE_SHARE_VARIABLE, 0.1)
            report.check_quarantine(counts, *(airflow_store.number(*limit) for limit in limits))
    except (CountMismatch, TooManyQuarantined) as err:
        runs.close_run(request.run_id, "failed", str(err), counts | more)
        raise
    if counts["mode"] == REPLAY:
        log.info("%d rows of the quarantine are stored now.", runs.note_replayed(request.run_id))
    if counts["mode"] == FULL:
        runs.forget_old(airflow_store.days(HISTORY_DAYS_VARIABLE), airflow_store.days(QUARANTINE_DAYS_VARIABLE))
    runs.close_run(request.run_id, "success", None, counts | more)
    return counts


def _upstream_counts(xcom: Any, source: str) -> tuple[Counts, Counts]:
    """Return the counts of the contract, and what the run's row holds beside them."""
    upstream: Counts = {}
    for task_id in (source, "filter_referrals", "extract_domains", "load_referrals"):
        counts: Mapping[str, Any] | None = xcom.xcom_pull(task_ids=task_id)
        if counts is None:
            raise CountMismatch(f"{task_id} left no counts, so nothing can be verified. Clear it with what follows.")
        upstream |= counts
    return {name: upstream[name] for name in COUNTED}, {name: upstream[name] for name in ("vanished", "unmarked")}


@_in_its_tables
def close_run(request: RunRequest, xcom: Any, *, first: str = "acquire_token") -> str:
    """Give the run's row its end where no task could; return its state.

    Args:
        request: the run.
        xcom: the task instance.
        first: the run's first task. Where it returned nothing, the run may never have come to the warehouse.

    Raises:
        AirflowSkipException: the run was skipped: there is nothing to close.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    try:
        state = runs.close_unfinished(request.run_id)
    except PartnerCenterError as err:
        if xcom.xcom_pull(task_ids=first) is not None:
            raise
        log.info("The run has no row in partner_center_sync_runs: %s", err)
        state = None
    if state is not None:
        measures.tell(request)
    if state in {None, "skipped"}:
        raise AirflowSkipException("The run was skipped.")
    return state or ""


COUNTED = (
    "mode", "fetched", "duplicates", "quarantined", "eligible", "skipped", "closed", "with_domain", "without_domain",
    "inserted", "updated", "unchanged",
)  # fmt: skip
