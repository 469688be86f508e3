-- What: the names of each company that a referral of `personal` has ever been linked to: a sole trader's is a person's.
-- Why twice is safe: it writes nothing.

select
    company.domain as key,
    null::text as key_2,
    to_jsonb(company.names)::text as document
from partner_center_companies as company
where
    company.domain in (
        select stored.domain
        from personal
        inner join partner_center_referrals as stored on personal.referral_id = stored.referral_id
        union
        select old.version ->> 'domain'
        from personal
        inner join partner_center_referral_versions as old on personal.referral_id = old.referral_id
    );
