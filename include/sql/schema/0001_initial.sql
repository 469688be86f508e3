-- What: the warehouse's first schema: referrals, their history, quarantine, runs, and the staging that tasks share.
-- Why once only: alembic runs each revision once, in a transaction, under an advisory lock (warehouse.py).

create table partner_center_referrals (
    referral_id text primary key,
    engagement_id text,
    external_reference_id text,
    name text,
    status text,
    substatus text,
    type text,
    referral_type text not null,
    qualification text,
    direction text,
    customer_name text,
    customer_country text,
    domain text,
    domain_source text,
    domain_missing_reason text,
    domain_candidates jsonb not null default '[]',
    link_status text not null,
    deal_value numeric,
    currency text,
    created_at timestamptz,
    updated_at timestamptz,
    expires_at timestamptz,
    closing_at timestamptz,
    raw_data jsonb not null,
    content_hash bytea not null,
    mapping_version smallint not null,
    first_synced_at timestamptz not null,
    first_run_id text not null,
    synced_at timestamptz not null,
    last_run_id text not null
);

create index partner_center_referrals_domain on partner_center_referrals (domain);
create index partner_center_referrals_updated_at on partner_center_referrals (updated_at);

comment on column partner_center_referrals.domain is
'registrable domain of the customer, lower case, ASCII form; null where none could be found';
comment on column partner_center_referrals.domain_source is 'email, profile_id or website';
comment on column partner_center_referrals.domain_missing_reason is 'no_email, consumer_only or invalid';
comment on column partner_center_referrals.content_hash is
'first 16 bytes of the SHA-256 of the JSON text as the API sent it; equal means that nothing changed';
comment on column partner_center_referrals.last_run_id is 'the run that last wrote this row';

-- lz4 packs and unpacks a raw row several times faster than the default; not every build of PostgreSQL has it.
do $$
begin
    alter table partner_center_referrals alter column raw_data set compression lz4;
exception
    when feature_not_supported or invalid_parameter_value then
        raise notice 'this PostgreSQL has no lz4: raw_data keeps the default compression';
end
$$;

create table partner_center_referral_history (
    history_id bigint generated always as identity primary key,
    referral_id text not null,
    changed_at timestamptz not null default now(),
    run_id text not null,
    field text not null,
    old_value text,
    new_value text
);

create index partner_center_referral_history_referral
on partner_center_referral_history (referral_id, changed_at);

create table partner_center_quarantine (
    quarantine_id bigint generated always as identity primary key,
    run_id text not null,
    reason text not null,
    raw text not null,
    received_at timestamptz not null default now()
);

create index partner_center_quarantine_run on partner_center_quarantine (run_id);

create table partner_center_sync_runs (
    run_id text primary key,
    mode text not null,
    direction text not null,
    statuses text[] not null,
    dry_run boolean not null,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    state text not null,
    reason text,
    pages integer,
    fetched integer,
    duplicates integer,
    quarantined integer,
    eligible integer,
    skipped jsonb,
    closed integer,
    with_domain integer,
    without_domain integer,
    inserted integer,
    updated integer,
    unchanged integer,
    persisted integer
);

create index partner_center_sync_runs_started_at on partner_center_sync_runs (started_at);

-- Staging: one partition a run. Narrow rows, which tasks update, stand apart from their wide JSON, which is
-- written once and read once.
create table partner_center_staged (
    run_id text not null,
    row_no integer not null,
    page integer not null,
    referral_id text not null,
    direction text,
    status text,
    created_at timestamptz,
    updated_at timestamptz,
    updated_tick smallint not null,
    expires_at timestamptz,
    closing_at timestamptz,
    deal_value numeric,
    hints text not null,
    content_hash bytea not null,
    outcome text,
    skip_reason text
) partition by list (run_id);

comment on column partner_center_staged.outcome is 'duplicate, eligible, closed or skipped; set by filter_referrals';

create table partner_center_staged_payloads (
    run_id text not null,
    row_no integer not null,
    payload jsonb not null
) partition by list (run_id);

create table partner_center_staged_domains (
    run_id text not null,
    row_no integer not null,
    domain text,
    domain_source text,
    domain_missing_reason text,
    domain_candidates jsonb not null,
    link_status text not null
) partition by list (run_id);

-- The name of a run's partition; run ids are too long and too free for a name.
create function partner_center_partition(parent text, run_id text) returns text
language sql immutable strict
return parent || '_' || to_hex(hashtextextended(run_id, 0));

-- Gives a run an empty partition of one staging table. Unlogged: what a crash loses, the next try fetches again,
-- and verify_counts would see the loss.
create function partner_center_open_staging(parent text, run_id text) returns void
language plpgsql as $$
declare
    partition_name text := partner_center_partition(parent, run_id);
begin
    if to_regclass(partition_name) is not null then
        execute format('truncate table %I', partition_name);
        return;
    end if;
    execute format(
        -- The wide target keeps a row of up to 8 kB in one piece, uncompressed: it is read once and dropped.
        'create unlogged table %I partition of %I for values in (%L) with (toast_tuple_target = 8160)',
        partition_name, parent, run_id
    );
end
$$;

-- Drops the staging of runs that began longer ago, and of runs that nobody knows.
create function partner_center_drop_old_staging(kept interval) returns void
language plpgsql as $$
declare
    parent text;
    old regclass;
begin
    foreach parent in array array[
        'partner_center_staged', 'partner_center_staged_payloads', 'partner_center_staged_domains'
    ] loop
        for old in
            select child.oid::regclass
            from pg_inherits
            inner join pg_class as child on pg_inherits.inhrelid = child.oid
            where
                pg_inherits.inhparent = parent::regclass
                and child.relname not in (
                    select partner_center_partition(parent, run_id)
                    from partner_center_sync_runs
                    where started_at > now() - kept
                )
        loop
            execute format('drop table %s', old);
        end loop;
    end loop;
end
$$;

create function partner_center_analyze_staging(parent text, run_id text) returns void
language plpgsql as $$
begin
    execute format('analyze %I', partner_center_partition(parent, run_id));
end
$$;

-- The category of a referral, which the API does not send.
-- https://learn.microsoft.com/en-us/partner-center/developer/referrals-api-introduction
create function partner_center_referral_type(type text, qualification text, invited_by text) returns text
language sql immutable
return case
    when type = 'Independent' and qualification = 'Direct' and coalesce(invited_by, 'msft') = 'msft'
        then 'marketplace'
    when type = 'Independent' and qualification in ('SalesQualified', 'MarketingQualified') and invited_by = 'msft'
        then 'qualified-lead'
    when type in ('Independent', 'Shared') and qualification in ('SalesQualified', 'None') and invited_by <> 'msft'
        then 'co-sell'
    else 'unclassified'
end;
