-- What: counts what the load did. Read back, so that a row that the database swallowed counts nowhere, and a second try
-- of this run counts the same.
-- Why twice is safe: it writes nothing.

with swept as (
    select
        (
            select count(*)
            from partner_center_referrals as stored
            where
                stored.missing_since is not null and stored.last_run_id = %(run_id)s and not %(dry_run)s::boolean
                -- One that this run has read is not one that it missed, even if a later run has.
                and not exists (
                    select
                    from partner_center_staged as seen
                    where seen.run_id = %(run_id)s and seen.referral_id = stored.referral_id
                )
        ) as marked,
        (
            select count(*)
            from vanished
            where %(dry_run)s::boolean
        ) as to_mark
    from partner_center_sync_runs as run
    where run.run_id = %(run_id)s and run.mode = 'full'
)

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
    )::integer as unchanged,
    -- Of the referrals that stood here before: gone from the API (0 where only changes were read), and read again.
    coalesce((select swept.marked + swept.to_mark from swept), 0)::integer as vanished,
    count(*) filter (where stored.referral_id is not null and pending.is_new is not true)::integer as present,
    (
        select count(*)
        from vanished
        inner join partner_center_referrals as still on vanished.referral_id = still.referral_id
        where still.missing_since is null and not %(dry_run)s::boolean
    )::integer as unmarked,
    (
        select count(*)
        from partner_center_referral_history as history
        inner join partner_center_sync_runs as run on history.changed_at = run.loaded_at
        where run.run_id = %(run_id)s and history.unexpected
    )::integer as unexpected,
    -- Staged anew, and the tasks between have not run since: what is missing here proves nothing.
    count(*) filter (
        where staged.outcome is null or (staged.outcome in ('eligible', 'closed') and derived.row_no is null)
    )::integer as undecided,
    (
        select count(*)
        from partner_center_sync_runs as run
        where run.run_id = %(run_id)s and run.staged_at is null
    )::integer as unfinished
from partner_center_staged as staged
left join partner_center_staged_domains as derived
    on derived.run_id = %(run_id)s and staged.row_no = derived.row_no
left join pending on staged.row_no = pending.row_no
left join partner_center_referrals as stored
    on staged.outcome in ('eligible', 'closed') and staged.referral_id = stored.referral_id
where staged.run_id = %(run_id)s;
