-- What: the last run of the sync that came to its counts.
-- Why twice is safe: it only reads.

select
    run_id,
    mode,
    dry_run,
    state,
    finished_at,
    fetched,
    eligible,
    with_domain,
    without_domain,
    persisted,
    inserted,
    updated,
    unchanged
from partner_center_sync_runs
where persisted is not null and mode in ('incremental', 'full')
order by started_at desc
limit 1;
