-- What: the notes of people's own links of each referral of `personal`, and the links that the person has set.
-- Why twice is safe: it writes nothing.

select
    own.referral_id as key,
    null::text as key_2,
    jsonb_build_object('notes', own.note, 'set_by', own.set_by)::text as document
from partner_center_link_overrides as own
where
    own.referral_id in (select personal.referral_id from personal)
    or strpos(partner_center_folded(concat_ws(' ', own.note, own.set_by)), %(needle)s) > 0;
