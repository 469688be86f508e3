-- What: the referrals of one domain, newest first, at most 500, with how many there are.
-- Why twice is safe: it only reads.

select
    referral_id,
    name,
    customer_name,
    customer_country,
    status,
    substatus,
    referral_type,
    link_status,
    domain,
    deal_value,
    currency,
    created_at,
    updated_at,
    expires_at,
    missing_since,
    count(*) over () as total
from partner_center_referrals
where domain = %(domain)s
order by coalesce(updated_at, created_at) desc nulls last, referral_id
limit 500;
