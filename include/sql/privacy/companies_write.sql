-- What: writes a company's names without the person.
-- Why twice is safe: the same names give the same row.

update partner_center_companies
set names = given.names
from (
    select array_agg(distinct named.value order by named.value) as names
    from jsonb_array_elements_text(%(document)s::jsonb) as named (value)
) as given
where partner_center_companies.domain = %(key)s;
