-- What: one page of the inbox: its referrals by the narrow index, and then, of these alone, what is shown; and how many
-- were looked at, which is more than are shown where they are to be counted by the way.
-- Why twice is safe: it only reads.

with chosen as materialized (
    select
        matching.referral_id,
        matching.{sort} as place
    from ({matching}) as matching
    where {beyond}
    order by matching.{sort} {order}, matching.referral_id {way}
    limit %(looked_at)s offset %(offset)s
),

shown as (
    select
        referral_id,
        place
    from chosen
    limit %(limit)s
)

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
    shown.place::text as place,
    jsonb_array_length(stored.domain_candidates) as candidates,
    (
        select count(*)
        from chosen
    ) as found
from shown
inner join partner_center_referrals as stored on shown.referral_id = stored.referral_id
order by shown.place {order}, shown.referral_id {way};
