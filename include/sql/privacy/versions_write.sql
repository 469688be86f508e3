-- What: writes an earlier version without the person. The text to search in goes, since it has other letters; it is
-- made anew when a version is written back.
-- Why twice is safe: the same JSON gives the same row.

update partner_center_referral_versions
set
    superseded_by = given.document ->> 'by',
    version = (given.document -> 'version') - 'search_text' || jsonb_build_object(
        'content_hash', substring(sha256(convert_to((given.document #> '{version,raw_data}')::text, 'UTF8')) for 16)
    )
from (select %(document)s::jsonb as document) as given
where
    partner_center_referral_versions.referral_id = %(key)s
    and partner_center_referral_versions.superseded_at = %(key_2)s::timestamptz;
