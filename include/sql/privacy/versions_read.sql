-- What: the earlier versions of each referral of `personal`, and those that the person has superseded.
-- Why twice is safe: it writes nothing.

select
    old.referral_id as key,
    old.superseded_at::text as key_2,
    jsonb_build_object('version', old.version, 'by', old.superseded_by)::text as document
from partner_center_referral_versions as old
where
    old.referral_id in (select personal.referral_id from personal)
    or strpos(partner_center_folded(old.superseded_by), %(needle)s) > 0;
