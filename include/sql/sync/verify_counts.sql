-- What: reads back how many of the run's eligible referrals stand in the table with the run's content, and which do
-- not; and which of those that have left eligibility (closed) stand there with older content. A row that a later run
-- has brought further counts as standing. What this run wrote is compared field by field with what the API sent: the
-- mapping stands here a second time on purpose, as in double entry. Also what is staged, since staging that was lost
-- or read anew has nothing to compare.
-- Why twice is safe: it writes nothing.

with read_back as (
    select
        staged.referral_id,
        staged.outcome,
        case
            when %(dry_run)s::boolean then derived.row_no is not null
            else coalesce(
                (
                    stored.last_run_id <> %(run_id)s
                    and not partner_center_may_replace(
                        staged.updated_at, staged.updated_tick, coalesce(run.read_at, run.started_at),
                        stored.updated_at, stored.updated_tick, coalesce(stored.read_at, stored.synced_at)
                    )
                )
                or (
                    stored.content_hash = staged.content_hash
                    and (stored.updated_at, stored.deal_value)
                    is not distinct from (staged.updated_at, staged.deal_value)
                    and case
                        when own.referral_id is null
                            then coalesce(
                                (stored.domain, stored.link_status)
                                is not distinct from (derived.domain, derived.link_status),
                                false
                            )
                        when own.domain is null then stored.domain is null and stored.link_status = 'unlinked'
                        else stored.domain = own.domain and stored.link_status = 'linked'
                    end
                    and (stored.status is not distinct from staged.status or staged.outcome = 'closed')
                    -- Row by row through the indexes: no wide row travels through a join, whatever the planner expects.
                    and case
                        when stored.last_run_id = %(run_id)s
                            then (
                                select
                                    coalesce(
                                        (
                                            whole.engagement_id,
                                            whole.external_reference_id,
                                            whole.name,
                                            whole.substatus,
                                            whole.type, whole.qualification, whole.direction, whole.customer_name,
                                            whole.customer_country, whole.currency, whole.created_at, whole.expires_at,
                                            whole.closing_at, whole.raw_data
                                        )
                                        is not distinct from
                                        (
                                            raw.payload ->> 'engagementId', raw.payload ->> 'externalReferenceId',
                                            raw.payload ->> 'name', raw.payload ->> 'substatus', raw.payload ->> 'type',
                                            raw.payload ->> 'qualification', raw.payload ->> 'direction',
                                            raw.payload #>> '{customerProfile,name}',
                                            raw.payload #>> '{customerProfile,address,country}',
                                            raw.payload #>> '{details,currency}', staged.created_at, staged.expires_at,
                                            staged.closing_at, raw.payload
                                        ),
                                        false
                                    ) as is_as_sent
                                from partner_center_referrals as whole
                                cross join partner_center_staged_payloads as raw
                                where
                                    whole.referral_id = staged.referral_id
                                    and raw.run_id = %(run_id)s and raw.row_no = staged.row_no
                            )
                        else true
                    end
                ),
                false
            )
        end as stands
    from partner_center_staged as staged
    inner join partner_center_sync_runs as run on staged.run_id = run.run_id
    left join partner_center_staged_domains as derived
        on derived.run_id = %(run_id)s and staged.row_no = derived.row_no
    left join partner_center_link_overrides as own on staged.referral_id = own.referral_id
    left join partner_center_referrals as stored on staged.referral_id = stored.referral_id
    where staged.run_id = %(run_id)s and staged.outcome in ('eligible', 'closed')
),

counted as (
    select
        count(*) filter (where outcome = 'eligible')::integer as staged_eligible,
        count(*) filter (where outcome = 'closed')::integer as staged_closed,
        count(*) filter (where outcome = 'eligible' and stands)::integer as persisted,
        count(*) filter (where outcome = 'eligible' and not stands)::integer as missing,
        count(*) filter (where outcome = 'closed' and not stands)::integer as outdated
    from read_back
),

astray as (
    select
        referral_id,
        outcome,
        row_number() over (partition by outcome order by referral_id) as place
    from read_back
    where not stands
),

named as (
    select
        coalesce(jsonb_agg(referral_id order by place) filter (where outcome = 'eligible'), '[]') as missing_ids,
        coalesce(jsonb_agg(referral_id order by place) filter (where outcome = 'closed'), '[]') as outdated_ids
    from astray
    where place <= 20
)

select
    counted.staged_eligible,
    counted.staged_closed,
    counted.persisted,
    counted.missing,
    named.missing_ids,
    counted.outdated,
    named.outdated_ids,
    (
        select count(*)
        from partner_center_staged as staged
        where staged.run_id = %(run_id)s
    )::integer as staged
from counted
cross join named;
