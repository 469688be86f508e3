-- What: what happened to a referral, newest first; its last 500 events.
-- Why twice is safe: it only reads.

select
    at,
    event,
    field,
    old_value,
    new_value,
    unexpected,
    run_id
from partner_center_referral_timeline
where referral_id = %(referral_id)s
order by at desc, field asc
limit 500;
