-- What: the row of one run, with its counts as far as they were taken.
-- Why twice is safe: it only reads.

select
    mode,
    mode_reason,
    dry_run,
    state,
    reason,
    started_at,
    finished_at,
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
    persisted,
    vanished
from partner_center_sync_runs
where run_id = %(run_id)s
