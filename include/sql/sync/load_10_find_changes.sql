-- What: takes the writer's lock and finds the run's eligible and closed rows that are new or differ from the table.
-- Why twice is safe: it writes the temporary table `pending` only, which ends with the transaction.

select pg_advisory_xact_lock(hashtextextended('partner_center_referrals', 0));

-- Narrow rows first: which of them are new, and which may differ from what is stored.
create temporary table pending on commit drop as
with candidates as (
    select
        staged.row_no,
        staged.referral_id,
        stored.referral_id is null as is_new,
        staged.content_hash <> stored.content_hash as content_differs,
        -- Beside the JSON: the domain's verdict, our mapping, and what a trigger or a person has changed in the table.
        coalesce(
            (stored.domain, stored.domain_source, stored.domain_missing_reason, stored.domain_candidates)
            is distinct from
            (derived.domain, derived.domain_source, derived.domain_missing_reason, derived.domain_candidates)
            or (stored.link_status, stored.updated_at, stored.deal_value)
            is distinct from
            (derived.link_status, staged.updated_at, staged.deal_value)
            or (staged.status is not null and stored.status is distinct from staged.status)
            or stored.mapping_version <> %(mapping_version)s,
            false
        ) as columns_differ,
        stored.last_run_id = %(run_id)s
        or partner_center_may_replace(
            staged.updated_at, staged.updated_tick, coalesce(run.read_at, run.started_at),
            stored.updated_at, stored.updated_tick, coalesce(stored.read_at, stored.synced_at)
        ) as may_replace,
        case when stored.referral_id is not null then partner_center_tracked(stored) end as before
    from partner_center_staged as staged
    inner join partner_center_sync_runs as run on staged.run_id = run.run_id
    inner join partner_center_staged_domains as derived
        on derived.run_id = %(run_id)s and staged.row_no = derived.row_no
    left join partner_center_referrals as stored on staged.referral_id = stored.referral_id
    where staged.run_id = %(run_id)s and staged.outcome in ('eligible', 'closed')
)

select
    row_no,
    referral_id,
    is_new,
    not is_new and columns_differ as columns_differ,
    before
from candidates
where is_new or (may_replace and (content_differs or columns_differ));

analyze pending;

-- The same JSON in another spelling (order of keys, spaces) is no change: the staged row takes the stored hash.
update partner_center_staged
set content_hash = stored.content_hash
from pending
inner join partner_center_referrals as stored on pending.referral_id = stored.referral_id
inner join partner_center_staged_payloads as staged_payload
    on staged_payload.run_id = %(run_id)s and pending.row_no = staged_payload.row_no
where
    partner_center_staged.run_id = %(run_id)s
    and partner_center_staged.row_no = pending.row_no
    and partner_center_staged.content_hash <> stored.content_hash
    and staged_payload.payload = stored.raw_data;

delete from pending
using partner_center_staged as staged, partner_center_referrals as stored
where
    not pending.columns_differ
    and staged.run_id = %(run_id)s
    and pending.row_no = staged.row_no
    and pending.referral_id = stored.referral_id
    and staged.content_hash = stored.content_hash;
