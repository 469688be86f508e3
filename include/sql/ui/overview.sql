-- What: when the last run succeeded, and how many rows wait in the quarantine.
-- Why twice is safe: it only reads.

select
    (
        select finished_at
        from partner_center_sync_runs
        where state = 'success' and not dry_run and mode in ('incremental', 'full')
        order by started_at desc
        limit 1
    ) as last_success_at,
    (
        select count(*)
        from partner_center_quarantine
        where replayed_at is null
    ) as quarantined;
