"""What a run tells Airflow's own metrics (StatsD, Datadog, OpenTelemetry) when it ends: docs/monitoring.md lists it.

The names hold no tag's value but the account's, as everything that belongs to an account does: StatsD itself knows no
tags, and one account's gauge must not take another one's place. Where tags are known, ``connection`` has it, too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from psycopg.rows import dict_row

from partner_center import warehouse
from partner_center.errors import PartnerCenterError
from partner_center.log_fields import flat
from partner_center.read_plan import REPLAY
from partner_center.runs import RunRequest

log = logging.getLogger(__name__)

_SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")
_LAST_RUN = "last_run."
# How the run ended, and how long ago it was that one ended well: of the sync itself, so no replay and no dry run.
_ENDED = """
select ended.state, ended.fetched, ended.duplicates, ended.quarantined, ended.eligible, ended.skipped, ended.closed,
    ended.with_domain, ended.without_domain, ended.inserted, ended.updated, ended.unchanged, ended.persisted,
    ended.vanished,
    extract(epoch from ended.finished_at - ended.started_at)::float8 as duration_seconds,
    extract(epoch from now() - verified.finished_at)::float8 as last_success_age_seconds,
    extract(epoch from now() - verified.watermark)::float8 as watermark_age_seconds,
    (select count(*) from partner_center_quarantine where replayed_at is null) as quarantine_open_rows
from partner_center_sync_runs as ended
left join lateral (
    select
        finished_at,
        watermark
    from partner_center_sync_runs
    where state = 'success' and mode in ('incremental', 'full') and not dry_run
    order by finished_at desc
    limit 1
) as verified on true
where ended.run_id = %s
"""
_AGES = ("last_success_age_seconds", "watermark_age_seconds", "quarantine_open_rows")


def tell(request: RunRequest) -> None:
    """Tell how a run ended. While Airflow's metrics are off nothing happens; a failure here never fails a run.

    Airflow guards the sending itself: a name that is not allowed, a server that is away and a client that is not
    installed end in its log. A client that cannot even be made fails a task in Airflow's own `ti.start`, before us.
    """
    if request.dry_run or request.mode == REPLAY or not _is_anybody_listening():
        return
    try:
        with warehouse.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            ended = cursor.execute(_ENDED, (request.run_id,)).fetchone()
    except PartnerCenterError as err:
        log.warning(
            "The run's figures could not be read for Airflow's metrics, so those keep their last values; the run "
            "itself is not changed by that: %s",
            err,
        )
        return
    if ended is not None:
        _emit(request, ended)


def gauges(ended: Mapping[str, Any]) -> dict[str, float]:
    """Return the gauges of a run that ended, by name.

    Args:
        ended: what of the run's row and the ages is known; what is None is left out, and of a skipped run all but the
            ages, so that the figures of the last run that worked stay.
    """
    found = {name: max(0.0, float(ended[name])) for name in _AGES if ended[name] is not None}
    if ended["state"] == "skipped":
        return found
    figures = {name: value for name, value in ended.items() if name not in {*_AGES, "state"}}
    found |= {f"{_LAST_RUN}{name}": float(value) for name, value in flat(figures).items()}
    found[f"{_LAST_RUN}succeeded"] = float(ended["state"] == "success")
    return found


def _emit(request: RunRequest, ended: Mapping[str, Any]) -> None:
    from airflow.sdk.observability import stats

    prefix, tags = f"partner_center{request.account.suffix}.", {"connection": request.account.connection_id}
    for name, value in gauges(ended).items():
        stats.gauge(f"{prefix}{name}", value, tags=tags)
    stats.incr(f"{prefix}runs.{ended['state']}", tags=tags)


def _is_anybody_listening() -> bool:
    from airflow.sdk.configuration import conf

    return any(conf.getboolean("metrics", switch, fallback=False) for switch in _SWITCHES)
