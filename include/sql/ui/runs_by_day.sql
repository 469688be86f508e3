-- What: the runs of the last 14 days by day (UTC) and state, and the referrals that they wrote; days without are there.
-- Why twice is safe: it only reads.

with days as (
    select generate_series(
        date_trunc('day', now(), 'UTC') - interval '13 days', date_trunc('day', now(), 'UTC'), interval '1 day'
    ) as day
)

select
    days.day::date as day,
    count(*) filter (where run.state = 'success') as success,
    count(*) filter (where run.state = 'failed') as failed,
    count(*) filter (where run.state = 'skipped') as skipped,
    coalesce(sum(run.inserted + run.updated) filter (where not run.dry_run), 0)::bigint as written
from days
left join partner_center_sync_runs as run
    on days.day <= run.started_at and run.started_at < days.day + interval '1 day'
group by days.day
order by days.day;
