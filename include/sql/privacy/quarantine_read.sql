-- What: the text of each quarantined row that may name the person or a referral of `personal`. What is escaped in it
-- cannot be searched here, so such rows come, too.
-- Why twice is safe: it writes nothing.

select
    found.key,
    found.theirs as key_2,
    found.document
from (
    select
        quarantined.quarantine_id as key,
        quarantined.raw as document,
        (
            select min('theirs')
            from personal
            where strpos(quarantined.raw, personal.referral_id) > 0
        ) as theirs
    from partner_center_quarantine as quarantined
) as found
where
    found.theirs is not null
    or strpos(partner_center_folded(found.document), %(needle)s) > 0
    or strpos(found.document, '\u') > 0;
