-- What: which of two versions of a referral is the newer one; comparison without regard to case; the tracked fields in
-- one place; staged JSON that is found by its number, and staging that ends in small steps.
-- Why once only: alembic runs each revision once, in a transaction, under an advisory lock (warehouse.py).

alter table partner_center_referrals add column if not exists updated_tick smallint not null default 0;

comment on column partner_center_referrals.updated_tick is
'the seventh fraction digit of updatedDateTime (100 ns), which timestamptz does not hold';

alter table partner_center_referrals add column if not exists read_at timestamptz;

comment on column partner_center_referrals.read_at is 'when the run that last wrote this row began to read';

alter table partner_center_sync_runs add column if not exists read_at timestamptz;

comment on column partner_center_sync_runs.read_at is 'when fetch_pages began to read, in its latest try';

-- A row of up to 4 kB, as nearly all are, stays in one piece and uncompressed: to write 65,000 of 2.5 kB took 2.2 s
-- and not 3.4 s. Longer ones are compressed as before.
alter table partner_center_referrals set (toast_tuple_target = 4080);

-- Whether a version of a referral that was read at `read_at` may take the place of the stored one: the newer
-- updatedDateTime wins. Where the two times cannot tell (equal, missing, or in the future, such as .NET's year 9999),
-- the version that was read later wins.
create function partner_center_may_replace(
    updated_at timestamptz, updated_tick smallint, read_at timestamptz,
    stored_updated_at timestamptz, stored_updated_tick smallint, stored_read_at timestamptz
) returns boolean
language sql stable
return case
    when
        (updated_at, updated_tick) = (stored_updated_at, stored_updated_tick)
        or updated_at is null or updated_at > now() + interval '1 day'
        or stored_updated_at is null or stored_updated_at > now() + interval '1 day'
        then read_at >= stored_read_at
    else (updated_at, updated_tick) > (stored_updated_at, stored_updated_tick)
end;

-- A text without regard to case, by the letters A to Z alone: in a Turkish database, lower('INCOMING') has others.
create function partner_center_folded(value text) returns text
language sql immutable
return lower(value collate "C");

-- For the question whether referrals of other directions are stored.
create index partner_center_referrals_direction on partner_center_referrals (partner_center_folded(direction));

-- The fields whose changes are history, each as text.
create function partner_center_tracked(referral partner_center_referrals) returns jsonb
language sql stable
return jsonb_build_object(
    'name', referral.name,
    'status', referral.status,
    'substatus', referral.substatus,
    'qualification', referral.qualification,
    'customer_name', referral.customer_name,
    'domain', referral.domain,
    'deal_value', trim_scale(referral.deal_value)::text,
    'currency', referral.currency,
    'expires_at', to_jsonb(referral.expires_at) #>> '{}',
    'closing_at', to_jsonb(referral.closing_at) #>> '{}'
);

-- An empty organization id names nobody, as null does.
create or replace function partner_center_referral_type(type text, qualification text, invited_by text) returns text
language sql immutable
return case
    when type = 'Independent' and qualification = 'Direct' and coalesce(nullif(invited_by, ''), 'msft') = 'msft'
        then 'marketplace'
    when type = 'Independent' and qualification in ('SalesQualified', 'MarketingQualified') and invited_by = 'msft'
        then 'qualified-lead'
    when
        type in ('Independent', 'Shared') and qualification in ('SalesQualified', 'None')
        and nullif(invited_by, '') <> 'msft'
        then 'co-sell'
    else 'unclassified'
end;

-- Gives a run an empty partition of one staging table; see the first revision. New: wide rows are found by number, so
-- that verify_counts can read them one by one, and no plan depends on statistics that are not there yet.
create or replace function partner_center_open_staging(parent text, run_id text) returns void
language plpgsql as $$
declare
    partition_name text := partner_center_partition(parent, run_id);
begin
    if to_regclass(partition_name) is not null then
        execute format('truncate table %I', partition_name);
        return;
    end if;
    execute format(
        'create unlogged table %I partition of %I for values in (%L) with (toast_tuple_target = 8160)',
        partition_name, parent, run_id
    );
    if parent = 'partner_center_staged_payloads' then
        execute format('create unique index on %I (row_no)', partition_name);
    end if;
end
$$;

-- Drops the staging of runs that read longer ago, and of runs that nobody knows; a hundred partitions of each kind at
-- a time, since each takes locks until the transaction ends, and PostgreSQL has room for some 6,000 by default. A run
-- makes one of each kind, so a backlog (after a week's pause, say) melts away. Where another run is at it, this one
-- leaves it to that.
create or replace function partner_center_drop_old_staging(kept interval) returns void
language plpgsql as $$
declare
    parent text;
    old regclass;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('partner_center_drop_old_staging', 0)) then
        return;
    end if;
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
                    where greatest(started_at, read_at) > now() - kept
                )
            order by child.oid
            limit 100
        loop
            execute format('drop table %s', old);
        end loop;
    end loop;
end
$$;
