-- What: how many runs began within the last 24 hours, by state.
-- Why twice is safe: it only reads.

select
    state,
    count(*) as runs
from partner_center_sync_runs
where started_at > now() - interval '24 hours'
group by state
