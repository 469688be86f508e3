-- What: what runs have staged of each referral of `personal`, with the hints for its domain.
-- Why twice is safe: it writes nothing.

select
    staged.run_id as key,
    staged.row_no::text as key_2,
    jsonb_build_object('payload', sent.payload, 'hints', staged.hints::jsonb)::text as document
from partner_center_staged as staged
inner join partner_center_staged_payloads as sent on staged.run_id = sent.run_id and staged.row_no = sent.row_no
where staged.referral_id in (select personal.referral_id from personal);
