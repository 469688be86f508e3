-- What: after a full read, notes which stored referrals the API no longer has. None is deleted. Before the load writes,
-- so that a first load has no table to look through.
-- Why twice is safe: a referral goes missing once; a run that was read before another full one proves nothing any more.

-- The questions about the run itself come first: unless it read everything, the table is not looked at.
create temporary table vanished on commit drop as
with absent as materialized (
    select stored.referral_id
    from partner_center_referrals as stored
    where
        (
            select count(*)
            from partner_center_sync_runs as asked
            left join partner_center_sync_runs as later
                on
                    later.mode = 'full' and not later.dry_run
                    and asked.read_at < later.read_at and later.loaded_at is not null
            where asked.run_id = %(run_id)s and asked.mode = 'full' and later.run_id is null
        ) = 1
        and not exists (
            select
            from partner_center_staged as staged
            where staged.run_id = %(run_id)s and staged.referral_id = stored.referral_id
        )
)

select
    stored.referral_id,
    run.loaded_at
from absent
inner join partner_center_referrals as stored on absent.referral_id = stored.referral_id
inner join partner_center_sync_runs as run on run.run_id = %(run_id)s
where
    stored.missing_since is null and coalesce(stored.read_at, stored.synced_at) <= run.read_at
    -- What the API sent and could not be stored is not gone.
    and not exists (
        select
        from partner_center_quarantine as unread
        where unread.run_id = %(run_id)s and strpos(unread.raw, stored.referral_id) > 0
    );

insert into partner_center_referral_versions (referral_id, synced_at, superseded_at, superseded_by, version)
select
    stored.referral_id,
    stored.synced_at,
    vanished.loaded_at,
    %(run_id)s,
    to_jsonb(stored)
from vanished
inner join partner_center_referrals as stored on vanished.referral_id = stored.referral_id
where not %(dry_run)s::boolean;

update partner_center_referrals
set
    missing_since = vanished.loaded_at,
    synced_at = vanished.loaded_at,
    last_run_id = %(run_id)s,
    read_at = greatest(partner_center_referrals.read_at, run.read_at)
from vanished, partner_center_sync_runs as run
where
    run.run_id = %(run_id)s
    and partner_center_referrals.referral_id = vanished.referral_id
    and not %(dry_run)s::boolean;
