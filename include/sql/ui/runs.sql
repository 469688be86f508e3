-- What: runs, newest first; a page of them.
-- Why twice is safe: it only reads.

select
    run_id,
    mode,
    strategy,
    dry_run,
    state,
    reason,
    started_at,
    pages,
    fetched,
    eligible,
    inserted,
    updated,
    quarantined,
    persisted,
    finished_at - started_at as duration
from partner_center_sync_runs
where
    (%(state)s = '' or state = %(state)s)
    and (
        %(after_started)s::timestamptz is null
        or (started_at, run_id) < (%(after_started)s::timestamptz, %(after_run)s)
    )
order by started_at desc, run_id desc
limit %(limit)s;
