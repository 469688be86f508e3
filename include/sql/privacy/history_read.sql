-- What: the changes of each referral of `personal`, and those that the person has made.
-- Why twice is safe: it writes nothing.

select
    changed.history_id as key,
    null::text as key_2,
    jsonb_build_array(changed.old_value, changed.new_value, changed.run_id)::text as document
from partner_center_referral_history as changed
where
    changed.referral_id in (select personal.referral_id from personal)
    or strpos(partner_center_folded(changed.run_id), %(needle)s) > 0;
