-- What: one referral, with everything that is stored of it.
-- Why twice is safe: it only reads.

select
    referral_id,
    engagement_id,
    external_reference_id,
    name,
    status,
    substatus,
    type,
    referral_type,
    qualification,
    direction,
    customer_name,
    customer_country,
    domain,
    domain_source,
    domain_missing_reason,
    domain_candidates,
    link_status,
    deal_value,
    currency,
    created_at,
    updated_at,
    expires_at,
    closing_at,
    missing_since,
    first_synced_at,
    first_run_id,
    synced_at,
    last_run_id,
    raw_data
from partner_center_referrals
where referral_id = %(referral_id)s;
