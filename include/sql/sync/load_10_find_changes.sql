-- What: takes the writer's lock and finds the run's eligible and closed rows that are new or differ from the table.
-- Why twice is safe: it writes the run's loaded_at and the temporary table `pending` only, which ends with the
-- transaction.

select pg_advisory_xact_lock(partner_center_lock_key('partner_center_referrals'));

-- After the lock, so that the times of the rows follow the order in which they were written.
update partner_center_sync_runs
set loaded_at = clock_timestamp()
where run_id = %(run_id)s;

-- Narrow rows first: which of them are new, and which may differ from what is stored.
create temporary table pending on commit drop as
with linked as (
    select
        staged.row_no,
        staged.referral_id,
        staged.status,
        staged.updated_at,
        staged.updated_tick,
        staged.deal_value,
        staged.content_hash,
        derived.domain_missing_reason,
        derived.domain_candidates,
        -- A person's link wins over extraction.
        case when own.referral_id is null then derived.domain else own.domain end as domain,
        case when own.referral_id is null then derived.domain_source else 'override' end as domain_source,
        case
            when own.referral_id is null then derived.link_status
            when own.domain is null then 'unlinked'
            else 'linked'
        end as link_status
    from partner_center_staged as staged
    inner join partner_center_staged_domains as derived
        on derived.run_id = %(run_id)s and staged.row_no = derived.row_no
    left join partner_center_link_overrides as own on staged.referral_id = own.referral_id
    where staged.run_id = %(run_id)s and staged.outcome in ('eligible', 'closed')
),

candidates as (
    select
        linked.row_no,
        linked.referral_id,
        stored.referral_id is null as is_new,
        linked.domain,
        linked.domain_source,
        linked.link_status,
        linked.content_hash <> stored.content_hash as content_differs,
        -- Beside the JSON: the domain's verdict, our mapping, and what a trigger or a person has changed in the table.
        coalesce(
            (stored.domain, stored.domain_source, stored.link_status)
            is distinct from (linked.domain, linked.domain_source, linked.link_status)
            or (stored.domain_missing_reason, stored.domain_candidates)
            is distinct from (linked.domain_missing_reason, linked.domain_candidates)
            or (stored.updated_at, stored.deal_value) is distinct from (linked.updated_at, linked.deal_value)
            or (linked.status is not null and stored.status is distinct from linked.status)
            or stored.mapping_version <> %(mapping_version)s
            or stored.missing_since is not null,
            false
        ) as columns_differ,
        stored.last_run_id = %(run_id)s
        or partner_center_may_replace(
            linked.updated_at, linked.updated_tick, coalesce(run.read_at, run.started_at),
            stored.updated_at, stored.updated_tick, coalesce(stored.read_at, stored.synced_at)
        ) as may_replace,
        case when stored.referral_id is not null then partner_center_tracked(stored) end as before
    from linked
    inner join partner_center_sync_runs as run on run.run_id = %(run_id)s
    left join partner_center_referrals as stored on linked.referral_id = stored.referral_id
)

select
    row_no,
    referral_id,
    is_new,
    domain,
    domain_source,
    link_status,
    not is_new and columns_differ as columns_differ,
    before
from candidates
where is_new or (may_replace and (content_differs or columns_differ))
-- In the order of the table's key, so that its pages are visited once and not at random.
order by referral_id;

analyze pending;
