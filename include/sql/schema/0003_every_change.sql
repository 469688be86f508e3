-- What: watermark and reason of each run; what vanished from the API; every superseded version of a referral, and the
-- table as it stood at any time.
-- Why once only: alembic runs each revision once, in a transaction, under an advisory lock (warehouse.py).

alter table partner_center_sync_runs
add column if not exists mode_reason text,
add column if not exists strategy text,
add column if not exists scope jsonb,
add column if not exists watermark_before timestamptz,
add column if not exists read_since timestamptz,
add column if not exists staged_at timestamptz,
add column if not exists loaded_at timestamptz,
add column if not exists watermark timestamptz,
add column if not exists vanished integer,
add column if not exists account text,
add column if not exists failed_requests jsonb;

comment on column partner_center_sync_runs.mode is
'what the run really did: incremental or full; replay and restore for those';
comment on column partner_center_sync_runs.mode_reason is 'why it read so much, or so little';
comment on column partner_center_sync_runs.strategy is 'full, filter or orderby: how the API was asked';
comment on column partner_center_sync_runs.scope is
'what a watermark holds for: API, account, direction, statuses, rules; another scope begins with a full read';
comment on column partner_center_sync_runs.watermark_before is 'the watermark that an incremental run began with';
comment on column partner_center_sync_runs.read_since is 'that watermark less the overlap: what the API was asked for';
comment on column partner_center_sync_runs.staged_at is
'when fetch_pages had staged everything; null while it reads, and when it broke off';
comment on column partner_center_sync_runs.loaded_at is
'when the load had the writer''s lock; its rows carry this time';
comment on column partner_center_sync_runs.watermark is
'the newest updatedDateTime that the run has loaded; it counts once the run has been verified';
comment on column partner_center_sync_runs.vanished is 'referrals that a full read no longer found in the API';
comment on column partner_center_sync_runs.account is 'who was signed in, masked';
comment on column partner_center_sync_runs.failed_requests is 'request ids of the API''s refusals, for Microsoft';

create index if not exists partner_center_sync_runs_loaded_at on partner_center_sync_runs (loaded_at);
create index if not exists partner_center_sync_runs_restored on partner_center_sync_runs (loaded_at)
where mode = 'restore';
create index if not exists partner_center_sync_runs_running on partner_center_sync_runs (started_at)
where state = 'running';
create index if not exists partner_center_sync_runs_latest on partner_center_sync_runs (greatest(started_at, read_at));

-- What is staged in one run tells nothing of the next: after an ANALYZE of the whole database, the planner would take
-- the ids of those days for all that a run can bring, and read the table of referrals along its key.
alter table only partner_center_staged alter column referral_id set statistics 0;

alter table partner_center_referrals add column if not exists missing_since timestamptz;

comment on column partner_center_referrals.missing_since is
'when a full read no longer found the referral in the API; null again once it has come back';

create index if not exists partner_center_referrals_missing on partner_center_referrals (missing_since)
where missing_since is not null;

alter table partner_center_referral_history
add column if not exists unexpected boolean not null default false;

comment on column partner_center_referral_history.unexpected is
'a change of status or substatus that the documented status machine does not allow';

-- The fields whose changes are history, each as text.
create or replace function partner_center_tracked(referral partner_center_referrals) returns jsonb
language sql stable
return jsonb_build_object(
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

-- Whether a change of status, or of substatus in the status that the row now has, is one that the status machine does
-- not know. https://learn.microsoft.com/en-us/partner-center/developer/referrals
create function partner_center_is_unexpected(field text, old_value text, new_value text, status text) returns boolean
language sql immutable
return case field
    when 'status'
        then coalesce(
            partner_center_folded(old_value) || ' to ' || partner_center_folded(new_value)
            not in ('new to active', 'new to closed', 'active to closed'),
            true
        )
    when 'substatus'
        then coalesce(
            partner_center_folded(status) || ': ' || partner_center_folded(new_value)
            not in (
                'new: pending', 'new: received', 'active: accepted',
                'closed: won', 'closed: lost', 'closed: declined', 'closed: expired'
            ),
            true
        )
    else false
end;

-- Each version of a referral that another one has taken the place of, whole.
create table if not exists partner_center_referral_versions (
    referral_id text not null,
    synced_at timestamptz not null,
    superseded_at timestamptz not null,
    superseded_by text not null,
    version jsonb not null,
    primary key (referral_id, superseded_at)
);

comment on column partner_center_referral_versions.version is 'the row of partner_center_referrals as it stood';
comment on column partner_center_referral_versions.superseded_by is 'the run, or the person''s link override';

-- For the retention setting.
create index if not exists partner_center_referral_versions_superseded_at
on partner_center_referral_versions (superseded_at);
create index if not exists partner_center_referral_history_changed_at
on partner_center_referral_history (changed_at);

do $$
begin
    alter table partner_center_referral_versions alter column version set compression lz4;
exception
    when feature_not_supported or invalid_parameter_value then
        raise notice 'this PostgreSQL has no lz4: version keeps the default compression';
end
$$;

-- The table of referrals as it stood at a time; from this revision on. (Bodies as text: they see later columns, too.)
create function partner_center_referrals_as_of(moment timestamptz) returns setof partner_center_referrals
language sql stable set search_path = public as $$
    select stored.*
    from partner_center_referrals as stored
    where stored.synced_at <= moment
    union all
    select restored.*
    from partner_center_referral_versions as old
    cross join lateral jsonb_populate_record(null::partner_center_referrals, old.version) as restored
    where old.synced_at <= moment and old.superseded_at > moment
$$;

-- The same for the time at which a run had loaded.
create function partner_center_referrals_as_of_run(id_of_run text) returns setof partner_center_referrals
language sql stable set search_path = public as $$
    select stood.*
    from partner_center_sync_runs as run
    cross join lateral partner_center_referrals_as_of(run.loaded_at) as stood
    where run.run_id = id_of_run
$$;

-- Writes the state of a time back, as a run of its own: what stands now is kept as versions and history, so that this
-- can be undone the same way. The next sync reads everything, since no watermark from before counts any more.
create function partner_center_restore(moment timestamptz)
returns table (restored bigint, removed bigint, restore_run_id text)
language plpgsql set search_path = public as $$
declare
    written_at timestamptz;
begin
    if moment is null or moment >= now() then
        raise exception 'The time to go back to (%) does not lie in the past.', moment;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('partner_center_referrals', 0));
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

-- A referral's life, oldest first when ordered by at.
create view partner_center_referral_timeline as
select
    referral_id,
    created_at as at,
    'created' as event,
    null::text as field,
    null::text as old_value,
    null::text as new_value,
    false as unexpected,
    null::text as run_id
from partner_center_referrals
where created_at is not null
union all
select
    referral_id,
    first_synced_at as at,
    'first_synced' as event,
    null::text as field,
    null::text as old_value,
    null::text as new_value,
    false as unexpected,
    first_run_id as run_id
from partner_center_referrals
union all
select
    referral_id,
    changed_at as at,
    case
        when field <> 'missing_since' then 'changed'
        when new_value is null then 'came_back'
        else 'went_missing'
    end as event,
    field,
    old_value,
    new_value,
    unexpected,
    run_id
from partner_center_referral_history;
