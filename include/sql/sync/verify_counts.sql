-- What: reads back how many of the run's eligible referrals stand in the table with the run's content, and which do
-- not. A row that a later run has brought further counts as standing.
-- Why twice is safe: it writes nothing.

with eligible as (
    select
        staged.referral_id,
        case
            when %(dry_run)s::boolean then derived.row_no is not null
            else coalesce(
                (
                    stored.last_run_id <> %(run_id)s
                    and not partner_center_may_replace(
                        staged.updated_at, staged.updated_tick, coalesce(run.read_at, run.started_at),
                        stored.updated_at, stored.updated_tick, stored.synced_at
                    )
                )
                or (
                    stored.content_hash = staged.content_hash
                    and (stored.status, stored.updated_at, stored.deal_value, stored.domain, stored.link_status)
                    is not distinct from
                    (staged.status, staged.updated_at, staged.deal_value, derived.domain, derived.link_status)
                ),
                false
            )
        end as stands
    from partner_center_staged as staged
    inner join partner_center_sync_runs as run on staged.run_id = run.run_id
    left join partner_center_staged_domains as derived
        on derived.run_id = %(run_id)s and staged.row_no = derived.row_no
    left join partner_center_referrals as stored on staged.referral_id = stored.referral_id
    where staged.run_id = %(run_id)s and staged.outcome = 'eligible'
)

select
    count(*) filter (where stands)::integer as persisted,
    count(*) filter (where not stands)::integer as missing,
    (
        select coalesce(jsonb_agg(first_missing.referral_id order by first_missing.referral_id), '[]')
        from (
            select eligible.referral_id
            from eligible
            where not eligible.stands
            order by eligible.referral_id
            limit 20
        ) as first_missing
    ) as missing_ids
from eligible;
