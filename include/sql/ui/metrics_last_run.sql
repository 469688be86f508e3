-- What: the last run of the sync that was verified or failed, with its counts; no replay and no dry run.
-- Why twice is safe: it only reads.

select
    state,
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
    vanished,
    extract(epoch from finished_at)::float8 as finished_at,
    extract(epoch from finished_at - started_at)::float8 as seconds
from partner_center_sync_runs
where mode in ('incremental', 'full') and not dry_run and state in ('success', 'failed')
order by finished_at desc
limit 1
