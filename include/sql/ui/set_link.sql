-- What: sets a person's own link of a referral to a domain, or to none; a trigger takes it over into the referral.
-- Why twice is safe: a referral has one link, by its id.

insert into partner_center_link_overrides (referral_id, domain, note, set_by)
select
    stored.referral_id,
    %(domain)s::text,
    %(note)s::text,
    %(set_by)s::text
from partner_center_referrals as stored
where stored.referral_id = %(referral_id)s
on conflict (referral_id) do update set (domain, note, set_by, set_at) = (
    excluded.domain, excluded.note, excluded.set_by, now()
);
