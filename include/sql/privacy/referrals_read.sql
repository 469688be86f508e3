-- What: the JSON of each referral of `personal`.
-- Why twice is safe: it writes nothing.

select
    stored.referral_id as key,
    null::text as key_2,
    stored.raw_data::text as document
from personal
inner join partner_center_referrals as stored on personal.referral_id = stored.referral_id;
