-- What: rows that could not be stored, newest first; a page of them.
-- Why twice is safe: it only reads.

select
    quarantine_id,
    run_id,
    reason,
    received_at,
    replayed_at,
    replay_run_id,
    left(raw, 20000) as raw,
    length(raw) as length
from partner_center_quarantine
where
    (%(all)s::boolean or replayed_at is null)
    and (%(after)s::bigint is null or quarantine_id < %(after)s::bigint)
order by quarantine_id desc
limit %(limit)s;
