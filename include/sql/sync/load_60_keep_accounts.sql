-- What: remembers what was skipped and why, the companies of what was written, and moves the watermark: with the rows
-- or not at all.
-- Why twice is safe: each statement writes the same values again; what a later run has seen is not overwritten.

-- What stood in the table before is not among the skipped (below).
delete from partner_center_skipped
using written
where written.is_new and partner_center_skipped.referral_id = written.referral_id;

insert into partner_center_skipped as known (
    referral_id, reason, rule_version, direction, status, updated_at, first_seen_at, last_seen_at, last_run_id
)
select
    staged.referral_id,
    staged.skip_reason,
    %(filter_version)s,
    staged.direction,
    staged.status,
    staged.updated_at,
    run.read_at as first_seen_at,
    run.read_at as last_seen_at,
    run.run_id
from partner_center_staged as staged
inner join partner_center_sync_runs as run on staged.run_id = run.run_id
where
    staged.run_id = %(run_id)s and staged.outcome = 'skipped' and not %(dry_run)s::boolean
    and not exists (
        select
        from partner_center_referrals as stored
        where stored.referral_id = staged.referral_id
    )
on conflict (referral_id) do update set (
    reason, rule_version, direction, status, updated_at, last_seen_at, last_run_id
) = (
    excluded.reason, excluded.rule_version, excluded.direction, excluded.status, excluded.updated_at,
    excluded.last_seen_at, excluded.last_run_id
)
where known.last_seen_at < excluded.last_seen_at;

insert into partner_center_companies as known (domain, names, countries, first_seen_at, last_seen_at)
select
    domain,
    coalesce(array_agg(distinct customer_name) filter (where customer_name is not null), '{}'),
    coalesce(array_agg(distinct customer_country) filter (where customer_country is not null), '{}'),
    min(seen_from),
    max(seen_until)
from written
where domain is not null
group by domain
on conflict (domain) do update set (names, countries, first_seen_at, last_seen_at) = (
    partner_center_merged(known.names, excluded.names),
    partner_center_merged(known.countries, excluded.countries),
    least(known.first_seen_at, excluded.first_seen_at),
    greatest(known.last_seen_at, excluded.last_seen_at)
);

-- What was updated after the reading began may not have been seen in full: it does not count.
with newest as (
    select max(staged.updated_at) as updated_at
    from partner_center_staged as staged
    inner join partner_center_sync_runs as run on staged.run_id = run.run_id
    where staged.run_id = %(run_id)s and staged.updated_at <= run.read_at
)

update partner_center_sync_runs
set watermark = greatest(partner_center_sync_runs.watermark_before, newest.updated_at)
from newest
where
    partner_center_sync_runs.run_id = %(run_id)s
    and partner_center_sync_runs.scope is not null
    and not %(dry_run)s::boolean;
