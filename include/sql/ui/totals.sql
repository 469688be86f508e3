-- What: referrals and their deal values, in groups small in number, by one pass over the narrow index.
-- Why twice is safe: it only reads.

select
    facets,
    count(*) as referrals,
    count(*) filter (where expires_at between now() and now() + interval '7 days') as expiring,
    sum(deal_value) as deal_value
from partner_center_referrals
group by facets;
