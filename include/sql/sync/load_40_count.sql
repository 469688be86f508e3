-- What: counts what the load did. Read back, so that a row that the database swallowed counts nowhere, and a second try
-- of this run counts the same.
-- Why twice is safe: it writes nothing.

select
    count(*) filter (
        where case when %(dry_run)s::boolean then pending.is_new else stored.first_run_id = %(run_id)s end
    )::integer as inserted,
    count(*) filter (
        where
        case
            when %(dry_run)s::boolean then not pending.is_new
            else stored.last_run_id = %(run_id)s and stored.first_run_id <> %(run_id)s
        end
    )::integer as updated,
    count(*) filter (
        where pending.row_no is null and stored.last_run_id <> %(run_id)s and stored.first_run_id <> %(run_id)s
    )::integer as unchanged
from partner_center_staged as staged
left join pending on staged.row_no = pending.row_no
left join partner_center_referrals as stored on staged.referral_id = stored.referral_id
where staged.run_id = %(run_id)s and staged.outcome in ('eligible', 'closed');
