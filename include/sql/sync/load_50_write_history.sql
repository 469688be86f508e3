-- What: one row of history for each tracked field that the load has changed, as it stood before and as it stands now.
-- Why twice is safe: only rows that this very transaction wrote have a history here. What the database swallowed, or a
-- dry run, has none, and its version was not superseded.

delete from partner_center_referral_versions as kept
using partner_center_sync_runs as run
where
    run.run_id = %(run_id)s
    and kept.superseded_at = run.loaded_at
    and kept.superseded_by = run.run_id
    and not exists (
        select
        from written
        where written.referral_id = kept.referral_id
    )
    and not exists (
        select
        from vanished
        inner join partner_center_referrals as stored on vanished.referral_id = stored.referral_id
        where vanished.referral_id = kept.referral_id and stored.missing_since = vanished.loaded_at
    );

insert into partner_center_referral_history (
    referral_id, changed_at, run_id, field, old_value, new_value, unexpected
)
select
    written.referral_id,
    run.loaded_at,
    run.run_id,
    now_stored.field,
    pending.before ->> now_stored.field,
    now_stored.new_value,
    partner_center_is_unexpected(
        now_stored.field, pending.before ->> now_stored.field, now_stored.new_value, written.status
    )
from written
inner join pending on written.referral_id = pending.referral_id
inner join partner_center_sync_runs as run on run.run_id = %(run_id)s
cross join lateral jsonb_each_text(written.tracked) as now_stored (field, new_value)
where pending.before ->> now_stored.field is distinct from now_stored.new_value;

insert into partner_center_referral_history (referral_id, changed_at, run_id, field, new_value)
select
    stored.referral_id,
    vanished.loaded_at,
    %(run_id)s,
    'missing_since',
    to_jsonb(stored.missing_since) #>> '{}'
from vanished
inner join partner_center_referrals as stored on vanished.referral_id = stored.referral_id
where stored.missing_since = vanished.loaded_at;
