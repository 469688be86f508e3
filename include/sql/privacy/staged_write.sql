-- What: writes a staged row without the person, so that its run can still be cleared and run again.
-- Why twice is safe: the same JSON gives the same rows; the hash is that of referrals_write.sql.

update partner_center_staged_payloads
set payload = given.document -> 'payload'
from (select %(document)s::jsonb as document) as given
where
    partner_center_staged_payloads.run_id = %(key)s
    and partner_center_staged_payloads.row_no = %(key_2)s::integer;

update partner_center_staged
set
    hints = (given.document -> 'hints')::text,
    content_hash = substring(sha256(convert_to((given.document -> 'payload')::text, 'UTF8')) for 16)
from (select %(document)s::jsonb as document) as given
where partner_center_staged.run_id = %(key)s and partner_center_staged.row_no = %(key_2)s::integer;
