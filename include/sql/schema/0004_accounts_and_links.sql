-- What: the accounts of every row (skipped referrals, contract drift, the quarantine's way back), companies, and the
-- links of a referral to one that people set themselves.
-- Why once only: alembic runs each revision once, in a transaction, under an advisory lock (warehouse.py).

-- Why a referral that the API sent does not stand in the table.
create table if not exists partner_center_skipped (
    referral_id text primary key,
    reason text not null,
    rule_version smallint not null,
    direction text,
    status text,
    updated_at timestamptz,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    last_run_id text not null
);

comment on column partner_center_skipped.reason is 'direction or status: what the run had not asked for';
comment on column partner_center_skipped.rule_version is 'version of the rules in filter_referrals.sql';

-- What the API sends and this package does not know: fields and enum values. Nothing is dropped for it.
create table if not exists partner_center_contract_drift (
    kind text not null,
    path text not null,
    value text not null,
    seen integer not null,
    example_referral_id text not null,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    last_run_id text not null,
    primary key (kind, path, value)
);

comment on column partner_center_contract_drift.kind is 'field or value';
comment on column partner_center_contract_drift.seen is 'rows of the last run that had any with it';

alter table partner_center_quarantine
add column if not exists replayed_at timestamptz,
add column if not exists replay_run_id text;

comment on column partner_center_quarantine.replayed_at is
'when partner_center_replay_quarantine could store it after all';

-- With the number, since the last number of a run is asked for: by the run alone, a planner that expects many rows of
-- it would rather walk down all numbers.
create index if not exists partner_center_quarantine_run_number on partner_center_quarantine (run_id, quarantine_id);
drop index if exists partner_center_quarantine_run;

create index if not exists partner_center_quarantine_open on partner_center_quarantine (quarantine_id)
where replayed_at is null;

create function partner_center_merged(ours text[], theirs text[]) returns text[]
language sql immutable
return array(
    select distinct given.value
    from unnest(ours || theirs) as given (value)
    order by given.value
);

-- One row a company, by its domain.
create table if not exists partner_center_companies (
    domain text primary key,
    names text[] not null,
    countries text[] not null,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null
);

comment on column partner_center_companies.first_seen_at is 'the earliest creation of a referral with this domain';
comment on column partner_center_companies.last_seen_at is 'the latest update of a referral with this domain';

comment on column partner_center_referrals.domain_source is 'email, profile_id, website or override';
comment on column partner_center_referrals.domain_missing_reason is
'why extraction found no domain: no_email, consumer_only or invalid';

-- A person's own link of a referral to a company; null says that there is none. It wins over extraction.
create table if not exists partner_center_link_overrides (
    referral_id text primary key,
    domain text check (domain ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+([a-z]{2,63}|xn--[a-z0-9-]{1,59})$'),
    note text,
    set_by text not null default current_user,
    set_at timestamptz not null default now()
);

comment on column partner_center_link_overrides.domain is 'registrable domain, lower case, ASCII form';

-- Takes a person's link over into the referral at once; the load does the same for every later version. Under the
-- writer's lock, since a load that is under way has read the links already.
create function partner_center_apply_link_override() returns trigger
language plpgsql set search_path = public as $$
declare
    changed_id text;
    stored partner_center_referrals;
    before jsonb;
    link partner_center_link_overrides;
    written_at timestamptz;
begin
    perform pg_advisory_xact_lock(hashtextextended('partner_center_referrals', 0));
    foreach changed_id in array array(
        select distinct given.id from unnest(array[old.referral_id, new.referral_id]) as given (id)
        where given.id is not null
        order by given.id
    ) loop
        select * into stored from partner_center_referrals where referral_id = changed_id for update;
        continue when not found;
        before := to_jsonb(stored);
        select * into link from partner_center_link_overrides where referral_id = changed_id;
        if found then
            stored.domain := link.domain;
            stored.domain_source := 'override';
            stored.link_status := case when link.domain is null then 'unlinked' else 'linked' end;
        else
            stored.domain := stored.domain_candidates #>> '{0,domain}';
            stored.domain_source := stored.domain_candidates #>> '{0,source}';
            stored.link_status := case jsonb_array_length(stored.domain_candidates)
                when 0 then 'unlinked' when 1 then 'linked' else 'multi_candidate'
            end;
        end if;
        continue when to_jsonb(stored) = before;
        written_at := clock_timestamp();
        insert into partner_center_referral_versions (referral_id, synced_at, superseded_at, superseded_by, version)
        values (
            changed_id, (before ->> 'synced_at')::timestamptz, written_at,
            'link override by ' || coalesce(link.set_by, current_user), before
        );
        insert into partner_center_referral_history (referral_id, changed_at, run_id, field, old_value, new_value)
        select
            changed_id, written_at, 'link override by ' || coalesce(link.set_by, current_user), now_stored.field,
            earlier.value, now_stored.new_value
        from jsonb_each_text(partner_center_tracked(stored)) as now_stored (field, new_value)
        inner join jsonb_each_text(
            partner_center_tracked(jsonb_populate_record(null::partner_center_referrals, before))
        ) as earlier (field, value) using (field)
        where earlier.value is distinct from now_stored.new_value;
        update partner_center_referrals
        set
            domain = stored.domain, domain_source = stored.domain_source, link_status = stored.link_status,
            synced_at = written_at
        where referral_id = changed_id;
        insert into partner_center_companies (domain, names, countries, first_seen_at, last_seen_at)
        select
            stored.domain, array_remove(array[stored.customer_name], null),
            array_remove(array[stored.customer_country], null), written_at, written_at
        where stored.domain is not null
        on conflict (domain) do nothing;
    end loop;
    return null;
end
$$;

create trigger partner_center_apply_link_override
after insert or update or delete on partner_center_link_overrides
for each row execute function partner_center_apply_link_override();

-- One row a domain: its referrals (newest first), their types, and what is open, by currency.
create view partner_center_domains as
with open_value as (
    select
        summed.domain,
        jsonb_object_agg(summed.currency, summed.total) as by_currency
    from (
        select
            domain,
            coalesce(currency, '') as currency,
            sum(deal_value) as total
        from partner_center_referrals
        where
            domain is not null and deal_value is not null and missing_since is null
            and partner_center_folded(status) in ('new', 'active')
        group by domain, coalesce(currency, '')
    ) as summed
    group by summed.domain
)

select
    stored.domain,
    company.names,
    company.countries,
    count(*) as referrals,
    count(*) filter (where stored.missing_since is not null) as missing,
    array_agg(distinct stored.referral_type order by stored.referral_type) as referral_types,
    array_agg(
        stored.referral_id
        order by coalesce(stored.updated_at, stored.created_at) desc nulls last, stored.referral_id
    ) as referral_ids,
    coalesce(open_value.by_currency, '{}') as open_deal_value
from partner_center_referrals as stored
left join partner_center_companies as company on stored.domain = company.domain
left join open_value on stored.domain = open_value.domain
where stored.domain is not null
group by stored.domain, company.names, company.countries, open_value.by_currency;

-- Companies of what is stored already.
insert into partner_center_companies (domain, names, countries, first_seen_at, last_seen_at)
select
    domain,
    coalesce(array_agg(distinct customer_name order by customer_name) filter (where customer_name is not null), '{}'),
    coalesce(
        array_agg(distinct customer_country order by customer_country) filter (where customer_country is not null),
        '{}'
    ),
    min(least(created_at, synced_at)),
    max(least(updated_at, synced_at))
from partner_center_referrals
where domain is not null
group by domain
on conflict (domain) do nothing;
