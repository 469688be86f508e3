-- What: one narrow index over all that the pages filter, search, sort and sum referrals by, and the columns it needs.
-- Why once only: alembic runs each revision once in a schema, in a transaction, under an advisory lock (warehouse.py).

-- A text as search compares it: without case, accents and width. The letters of all languages are known to a
-- collation of PostgreSQL 17, or to ICU's; a database that has neither, or is not in UTF-8, knows those of its own
-- locale.
do $$
declare
    letters text := (
        select quote_ident(collname)
        from pg_collation
        where
            collname in ('pg_c_utf8', 'und-x-icu') and pg_collation_is_visible(oid)
            and getdatabaseencoding() = 'UTF8'
        order by collname
        limit 1
    );
begin
    execute
        'create or replace function partner_center_searchable(value text) returns text '
        'language sql immutable parallel safe return case '
        -- Plain letters, which are nearly all, take the short way.
        'when octet_length(value) = length(value) then lower(value collate "C") else '
        || coalesce(
            'replace(translate(regexp_replace(lower(normalize(value, NFKD) collate ' || letters || '), '
            '''[\u0300-\u036F]+'', '''', ''g''), chr(305), ''i''), chr(223), ''ss'') collate "C"',
            'lower(value)'
        )
        || ' end';
end
$$;

-- A word as a pattern of like that finds it anywhere.
create or replace function partner_center_pattern(word text) returns text
language sql immutable parallel safe
return '%' || regexp_replace(partner_center_searchable(word), '([\\%_])', '\\\1', 'g') || '%';

alter function partner_center_folded(text) parallel safe;

alter table partner_center_referrals
add column if not exists search_text text collate "C",
add column if not exists folded_status text collate "C",
add column if not exists folded_country text collate "C",
add column if not exists facets text collate "C",
add column if not exists has_domain boolean;

comment on column partner_center_referrals.search_text is
'customer, domain and name, as search compares them; kept by a trigger, and cut: it stands in an index';
comment on column partner_center_referrals.folded_status is 'status in small letters, cut; kept by a trigger';
comment on column partner_center_referrals.folded_country is
'customer_country in small letters, cut; kept by a trigger';
comment on column partner_center_referrals.facets is
'status|referral_type|link_status|domain or none|here or missing|currency, for sums by them; kept by a trigger';
comment on column partner_center_referrals.has_domain is 'whether there is a domain; kept by a trigger';

-- A trigger and no generated columns, since partner_center_restore writes whole rows back. An entry of an index has
-- room for 2,704 bytes, or the row cannot be stored at all: an id takes up to 1,020 of them, what is made here 1,200.
create or replace function partner_center_fill_inbox() returns trigger
language plpgsql set search_path from current as $$
declare
    cut text;
begin
    cut := partner_center_searchable(
        coalesce(left(new.customer_name, 100), '') || chr(10)
        || coalesce(left(new.domain, 253), '') || chr(10)
        || coalesce(left(new.name, 150), '')
    );
    new.search_text := case when octet_length(cut) > 520 then left(cut, 250) else cut end;
    new.folded_status := left(partner_center_folded(new.status), 20);
    new.folded_country := left(partner_center_folded(new.customer_country), 10);
    new.has_domain := new.domain is not null;
    new.facets := concat_ws(
        '|',
        case when new.folded_status in ('new', 'active', 'closed') then new.folded_status else '' end,
        new.referral_type,
        new.link_status,
        case when new.has_domain then 'domain' else 'none' end,
        case when new.missing_since is null then 'here' else 'missing' end,
        left(partner_center_folded(new.currency), 10)
    );
    return new;
end
$$;

create or replace trigger partner_center_fill_inbox
before insert or update of
customer_name, domain, name, status, referral_type, link_status, customer_country, currency, missing_since,
search_text, folded_status, folded_country, facets, has_domain
on partner_center_referrals
for each row execute function partner_center_fill_inbox();

drop index if exists partner_center_referrals_updated_at;

-- What is stored already, by the trigger.
update partner_center_referrals set has_domain = null;

-- By the time of the update, which grows: what a run writes stands together at an index's end, and no load pays for the
-- pages with an index of random keys. Read from its end, it is the inbox, newest first; as a whole, an answer to
-- everything else, some 150 bytes a referral and not the 2.5 kB of the row. The texts to search in are longer than all
-- of the rest, so they have an index of their own; so has what the overview sums up, which needs nothing else.
create index if not exists partner_center_referrals_inbox
on partner_center_referrals (updated_at nulls first, referral_id)
include (
    folded_status, referral_type, link_status, folded_country, has_domain, created_at, expires_at, deal_value,
    missing_since
);
create index if not exists partner_center_referrals_search
on partner_center_referrals (updated_at nulls first, referral_id)
include (
    search_text, folded_status, referral_type, link_status, folded_country, has_domain, created_at, expires_at,
    deal_value, missing_since
);
create index if not exists partner_center_referrals_totals
on partner_center_referrals (updated_at)
include (facets, expires_at, deal_value);

-- The domains as their page lists them, last seen first; the keys grow here, too.
create index if not exists partner_center_companies_last_seen on partner_center_companies (last_seen_at, domain);

-- Only while the visibility map knows a page of the table does the index answer without it. By default autovacuum comes
-- when a fifth of the rows has changed; here at a hundredth. It reads the pages that have changed, and no others.
alter table partner_center_referrals set (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_insert_scale_factor = 0.01,
    autovacuum_analyze_scale_factor = 0.05
);
