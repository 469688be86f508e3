-- What: companies by domain, last seen first, with the referrals that each has now; a page of them.
-- Why twice is safe: it only reads.

with listed as (
    select
        company.domain,
        company.names,
        company.countries,
        company.last_seen_at
    from partner_center_companies as company
    where
        (
            %(q)s = ''
            or strpos(company.domain, lower(%(q)s)) > 0
            or exists (
                select
                from unnest(company.names) as given (name)
                where strpos(lower(given.name), lower(%(q)s)) > 0
            )
        )
        and (
            %(after_seen)s::timestamptz is null
            or (company.last_seen_at, company.domain) < (%(after_seen)s::timestamptz, %(after_domain)s)
        )
        -- A person's link can have taken the last referral away from a company.
        and exists (
            select
            from partner_center_referrals as stored
            where stored.domain = company.domain
        )
    order by company.last_seen_at desc, company.domain desc
    limit %(limit)s
),

by_currency as (
    select
        listed.domain,
        coalesce(stored.currency, '') as currency,
        count(*) as referrals,
        count(*) filter (
            where partner_center_folded(stored.status) in ('new', 'active') and stored.missing_since is null
        ) as open,
        sum(stored.deal_value) filter (
            where partner_center_folded(stored.status) in ('new', 'active') and stored.missing_since is null
        ) as open_value
    from listed
    inner join partner_center_referrals as stored on listed.domain = stored.domain
    group by listed.domain, coalesce(stored.currency, '')
)

select
    listed.domain,
    listed.names,
    listed.countries,
    listed.last_seen_at,
    sum(by_currency.referrals)::bigint as referrals,
    sum(by_currency.open)::bigint as open,
    coalesce(
        jsonb_object_agg(by_currency.currency, by_currency.open_value::text)
        filter (where by_currency.open_value is not null),
        '{}'
    ) as open_values
from listed
inner join by_currency on listed.domain = by_currency.domain
group by listed.domain, listed.names, listed.countries, listed.last_seen_at
order by listed.last_seen_at desc, listed.domain desc;
