-- What: all referrals that the filters let through, in order. The narrow index gives the order, and each row is fetched
-- as it is sent: a sort of wide rows would have to end before the first is seen.
-- Why twice is safe: it only reads.

select
    stored.referral_id,
    stored.name,
    stored.customer_name,
    stored.customer_country,
    stored.status,
    stored.substatus,
    stored.referral_type,
    stored.link_status,
    stored.domain,
    stored.deal_value,
    stored.currency,
    stored.created_at,
    stored.updated_at,
    stored.expires_at,
    stored.missing_since,
    stored.direction,
    jsonb_array_length(stored.domain_candidates) as candidates
from (
    select
        matching.referral_id,
        matching.{sort} as place
    from ({matching}) as matching
    order by matching.{sort} {order}, matching.referral_id {way}
    -- A fence: joined with itself, the table would be read once, and all of its width.
    offset 0
) as chosen
inner join partner_center_referrals as stored on chosen.referral_id = stored.referral_id
order by chosen.place {order}, chosen.referral_id {way};
