-- What: writes a link's note without the person; the link stays.
-- Why twice is safe: the same note gives the same row.

update partner_center_link_overrides
set
    note = given.document ->> 'notes',
    set_by = given.document ->> 'set_by'
from (select %(document)s::jsonb as document) as given
where partner_center_link_overrides.referral_id = %(key)s;
