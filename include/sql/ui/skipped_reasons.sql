-- What: how many referrals were skipped for each reason.
-- Why twice is safe: it only reads.

select
    reason,
    count(*) as referrals
from partner_center_skipped
group by reason
order by referrals desc, reason asc;
