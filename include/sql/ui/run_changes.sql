-- What: what a run changed, field by field: the first 500 changes, and how many there are.
-- Why twice is safe: it only reads.

select
    history.referral_id,
    history.field,
    history.old_value,
    history.new_value,
    history.unexpected,
    count(*) over () as total
from partner_center_referral_history as history
inner join partner_center_sync_runs as run on history.run_id = run.run_id and history.changed_at = run.loaded_at
where run.run_id = %(run_id)s
order by history.history_id
limit 500;
