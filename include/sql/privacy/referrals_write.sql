-- What: writes a referral's JSON without the person, and the columns that were made of it. No version and no history:
-- they would keep what is to go.
-- Why twice is safe: the same JSON gives the same row. The hash is that of the staged rows (staged_write.sql), so that
-- a run which is read back, or cleared, finds the content that it wrote.

update partner_center_referrals
set
    raw_data = given.document,
    name = given.document ->> 'name',
    customer_name = given.document #>> '{customerProfile,name}',
    external_reference_id = given.document ->> 'externalReferenceId',
    content_hash = substring(sha256(convert_to(given.document::text, 'UTF8')) for 16)
from (select %(document)s::jsonb as document) as given
where partner_center_referrals.referral_id = %(key)s;
