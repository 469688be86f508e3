-- What: passes over rows whose JSON differs in spelling only, and keeps the versions that the others will supersede.
-- Why twice is safe: a version is kept once, by the time at which the run's load superseded it.

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

insert into partner_center_referral_versions (referral_id, synced_at, superseded_at, superseded_by, version)
select
    stored.referral_id,
    stored.synced_at,
    run.loaded_at,
    run.run_id,
    to_jsonb(stored)
from pending
inner join partner_center_sync_runs as run on run.run_id = %(run_id)s
inner join partner_center_referrals as stored on pending.referral_id = stored.referral_id
where not pending.is_new and not %(dry_run)s::boolean;

-- What the load will really write, for what comes after: the wide rows are not read once more.
create temporary table written (
    referral_id text,
    is_new boolean,
    status text,
    domain text,
    customer_name text,
    customer_country text,
    seen_from timestamptz,
    seen_until timestamptz,
    tracked jsonb
) on commit drop;
