-- What: what the API sent and the table does not hold, by id; a page of it.
-- Why twice is safe: it only reads.

select
    referral_id,
    reason,
    direction,
    status,
    updated_at,
    first_seen_at,
    last_seen_at,
    last_run_id
from partner_center_skipped
where
    (%(reason)s = '' or reason = %(reason)s)
    and (%(q)s = '' or referral_id = %(q)s)
    and (%(after)s::text is null or referral_id > %(after)s::text)
order by referral_id
limit %(limit)s;
