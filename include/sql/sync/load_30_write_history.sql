-- What: one row of history for each tracked field that the load has changed, as it stood before and as it stands now.
-- Why twice is safe: only rows that this very transaction wrote have a history here. What the database swallowed, or a
-- dry run, has none.

insert into partner_center_referral_history (referral_id, run_id, field, old_value, new_value)
select
    stored.referral_id,
    %(run_id)s,
    now_stored.field,
    pending.before ->> now_stored.field,
    now_stored.new_value
from pending
inner join partner_center_referrals as stored on pending.referral_id = stored.referral_id
cross join lateral jsonb_each_text(partner_center_tracked(stored)) as now_stored (field, new_value)
where
    not pending.is_new
    and stored.last_run_id = %(run_id)s
    and stored.synced_at = now()
    and pending.before ->> now_stored.field is distinct from now_stored.new_value;
