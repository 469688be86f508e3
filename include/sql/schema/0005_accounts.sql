-- What: several partner accounts, each with these tables in a schema of its own, named as its connection; the default
-- account's is public. Every function works in the schema that it stands in, and a view shows all accounts together.
-- Why once only: alembic runs each revision once in a schema, in a transaction, under an advisory lock (warehouse.py).

-- First of all, while this transaction holds nothing that another account's migration could wait for: each makes the
-- view anew, over the tables of all.
select pg_advisory_xact_lock(hashtextextended('partner_center_all_referrals', 0));

-- The connection id of the account whose schema the session works in.
create or replace function partner_center_source_conn_id() returns text
language sql stable
return case current_schema() when 'public' then 'partner_center_default' else current_schema() end;

comment on function partner_center_source_conn_id() is 'the connection of the account of the session''s schema';

-- The key of an advisory lock of the account: accounts do not wait for each other. (Account.lock in accounts.py.)
create or replace function partner_center_lock_key(what text) returns bigint
language sql stable
return hashtextextended(what || coalesce(' ' || nullif(current_schema(), 'public'), ''), 0);

comment on function partner_center_lock_key(text) is 'key of an advisory lock of the account of the session''s schema';

-- The fields whose changes are history; see 0003. New: its body is text. Where a parsed body uses a table's row type,
-- PostgreSQL adds no column with a default to the table any more (seen on 17.12: "uses its row type"), as is done next.
create or replace function partner_center_tracked(referral partner_center_referrals) returns jsonb
language sql stable as $$
    select jsonb_build_object(
        'name', referral.name,
        'status', referral.status,
        'substatus', referral.substatus,
        'type', referral.type,
        'referral_type', referral.referral_type,
        'qualification', referral.qualification,
        'direction', referral.direction,
        'external_reference_id', referral.external_reference_id,
        'customer_name', referral.customer_name,
        'customer_country', referral.customer_country,
        'domain', referral.domain,
        'link_status', referral.link_status,
        'deal_value', trim_scale(referral.deal_value)::text,
        'currency', referral.currency,
        'expires_at', to_jsonb(referral.expires_at) #>> '{}',
        'closing_at', to_jsonb(referral.closing_at) #>> '{}',
        'missing_since', to_jsonb(referral.missing_since) #>> '{}'
    );
$$;

-- A constant, so that the column costs no rewrite of the table, and so that a row has it whoever inserts it.
do $$
declare
    parent text;
begin
    foreach parent in array array['partner_center_referrals', 'partner_center_sync_runs'] loop
        execute format(
            'alter table %I add column if not exists source_conn_id text not null default %L',
            parent, partner_center_source_conn_id()
        );
        execute format('comment on column %I.source_conn_id is %L', parent, 'the account: its connection''s id');
    end loop;
end
$$;

-- Drops the staging of old runs; see 0002. New: the lock is the account's.
create or replace function partner_center_drop_old_staging(kept interval) returns void
language plpgsql as $$
declare
    parent text;
    old regclass;
begin
    if not pg_try_advisory_xact_lock(partner_center_lock_key('partner_center_drop_old_staging')) then
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

-- The table of referrals as it stood at a time; see 0003. New: in its own schema; versions from before this revision
-- have no account, and take the one of the schema.
create or replace function partner_center_referrals_as_of(moment timestamptz) returns setof partner_center_referrals
language sql stable set search_path from current as $$
    select stored.*
    from partner_center_referrals as stored
    where stored.synced_at <= moment
    union all
    select restored.*
    from partner_center_referral_versions as old
    cross join lateral jsonb_populate_record(
        null::partner_center_referrals,
        jsonb_build_object('source_conn_id', partner_center_source_conn_id()) || old.version
    ) as restored
    where old.synced_at <= moment and old.superseded_at > moment
$$;

alter function partner_center_referrals_as_of_run(text) set search_path from current;

-- Writes the state of a time back; see 0003. New: in its own schema, under the account's lock.
create or replace function partner_center_restore(moment timestamptz)
returns table (restored bigint, removed bigint, restore_run_id text)
language plpgsql set search_path from current as $$
declare
    written_at timestamptz;
begin
    if moment is null or moment >= now() then
        raise exception 'The time to go back to (%) does not lie in the past.', moment;
    end if;
    perform pg_advisory_xact_lock(partner_center_lock_key('partner_center_referrals'));
    written_at := clock_timestamp();
    restore_run_id := 'restore__' || to_char(written_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    create temporary table as_it_stood on commit drop as
    select * from partner_center_referrals_as_of(moment);
    create temporary table to_change on commit drop as
    select stored.referral_id, partner_center_tracked(stored) as before
    from partner_center_referrals as stored
    where stored.synced_at > moment;

    insert into partner_center_referral_versions (referral_id, synced_at, superseded_at, superseded_by, version)
    select stored.referral_id, stored.synced_at, written_at, restore_run_id, to_jsonb(stored)
    from partner_center_referrals as stored
    inner join to_change using (referral_id);
    delete from partner_center_referrals using to_change
    where partner_center_referrals.referral_id = to_change.referral_id;
    get diagnostics removed = row_count;

    insert into partner_center_referrals
    select written.*
    from as_it_stood
    cross join lateral jsonb_populate_record(
        null::partner_center_referrals,
        to_jsonb(as_it_stood) || jsonb_build_object('synced_at', written_at, 'last_run_id', restore_run_id)
    ) as written
    where not exists (
        select from partner_center_referrals as stored where stored.referral_id = as_it_stood.referral_id
    );
    get diagnostics restored = row_count;
    removed := removed - (select count(*) from to_change inner join as_it_stood using (referral_id));

    insert into partner_center_referral_history (referral_id, changed_at, run_id, field, old_value, new_value, unexpected)
    select
        stored.referral_id, written_at, restore_run_id, now_stored.field, to_change.before ->> now_stored.field,
        now_stored.new_value,
        partner_center_is_unexpected(
            now_stored.field, to_change.before ->> now_stored.field, now_stored.new_value, stored.status
        )
    from to_change
    inner join partner_center_referrals as stored on to_change.referral_id = stored.referral_id
    cross join lateral jsonb_each_text(partner_center_tracked(stored)) as now_stored (field, new_value)
    where to_change.before ->> now_stored.field is distinct from now_stored.new_value;

    insert into partner_center_sync_runs (
        run_id, mode, mode_reason, direction, statuses, dry_run, started_at, finished_at, loaded_at, state
    )
    values (
        restore_run_id, 'restore', 'the state of ' || moment || ' was written back', 'any', '{}', false, written_at,
        clock_timestamp(), written_at, 'success'
    );
    return next;
end
$$;

-- Takes a person's link over into the referral at once; see 0004. New: in its own schema, under the account's lock.
create or replace function partner_center_apply_link_override() returns trigger
language plpgsql set search_path from current as $$
declare
    changed_id text;
    stored partner_center_referrals;
    before jsonb;
    link partner_center_link_overrides;
    written_at timestamptz;
begin
    perform pg_advisory_xact_lock(partner_center_lock_key('partner_center_referrals'));
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

-- Makes the view over all accounts anew, in public whichever account calls it. Replaced and not dropped, so that grants
-- and what others have built on it stay; its columns are those that the sync's users may rely on, by name, so that no
-- later change of another column is in its way. Accounts that the user may not read are left out, since they would
-- close the view to everybody.
create or replace function partner_center_join_accounts() returns void
language plpgsql as $$
declare
    parts text;
begin
    select string_agg(
        format(
            'select source_conn_id, referral_id, engagement_id, external_reference_id, name, status, substatus, type, '
            'referral_type, qualification, direction, customer_name, customer_country, domain, domain_source, '
            'link_status, deal_value, currency, created_at, updated_at, expires_at, missing_since, raw_data, '
            'synced_at, last_run_id from %I.partner_center_referrals', place.nspname
        ),
        ' union all ' order by place.nspname <> 'public', place.nspname
    ) into parts
    from pg_namespace as place
    inner join pg_class as versions on place.oid = versions.relnamespace
    inner join pg_class as referrals on place.oid = referrals.relnamespace
    inner join pg_attribute as source on referrals.oid = source.attrelid
    where
        versions.relname = 'partner_center_alembic_version'
        and referrals.relname = 'partner_center_referrals' and referrals.relkind = 'r'
        and source.attname = 'source_conn_id'
        and has_schema_privilege(place.oid, 'usage') and has_table_privilege(referrals.oid, 'select');
    execute 'create or replace view public.partner_center_all_referrals as ' || parts;
    comment on view public.partner_center_all_referrals is 'the referrals of all partner accounts';
exception
    -- The rows of an account are worth more than a view over them.
    when insufficient_privilege then
        raise warning
            'The view public.partner_center_all_referrals could not be made anew (%), so this account is missing in '
            'it. Have its owner, who has to be able to read the tables of this account, run: '
            'select %.partner_center_join_accounts()',
            sqlerrm, quote_ident(current_schema());
end
$$;

select partner_center_join_accounts();
