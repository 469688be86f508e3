-- What: the link that a person has set for a referral; no row where none has.
-- Why twice is safe: it only reads.

select
    domain,
    note,
    set_by,
    set_at
from partner_center_link_overrides
where referral_id = %(referral_id)s;
