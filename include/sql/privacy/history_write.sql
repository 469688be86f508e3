-- What: writes a change without the person.
-- Why twice is safe: the same values give the same row.

update partner_center_referral_history
set
    old_value = given.document ->> 0,
    new_value = given.document ->> 1,
    run_id = given.document ->> 2
from (select %(document)s::jsonb as document) as given
where partner_center_referral_history.history_id = %(key)s;
