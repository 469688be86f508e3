-- What: one run, with all that is known of it.
-- Why twice is safe: it only reads.

select
    run_id,
    mode,
    mode_reason,
    strategy,
    direction,
    statuses,
    dry_run,
    state,
    reason,
    account,
    started_at,
    finished_at,
    read_since,
    watermark,
    failed_requests,
    pages,
    fetched,
    duplicates,
    quarantined,
    eligible,
    skipped,
    closed,
    with_domain,
    without_domain,
    inserted,
    updated,
    unchanged,
    vanished,
    persisted,
    finished_at - started_at as duration
from partner_center_sync_runs
where run_id = %(run_id)s;
