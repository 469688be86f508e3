-- What: gives every staged row of the run its outcome, and counts the outcomes.
-- Why twice is safe: each outcome is decided anew from the row, the run's params and the table.

update partner_center_staged
set outcome = decided.outcome, skip_reason = decided.skip_reason
from (
    select
        ranked.row_no,
        case
            when ranked.newest > 1 then 'duplicate'
            when ranked.direction_fits and ranked.status_fits then 'eligible'
            when stored.referral_id is not null then 'closed'
            else 'skipped'
        end as outcome,
        case
            when ranked.newest > 1 or (ranked.direction_fits and ranked.status_fits) then null
            when stored.referral_id is not null then null
            when not ranked.direction_fits then 'direction'
            else 'status'
        end as skip_reason
    from (
        select
            staged.row_no,
            staged.referral_id,
            row_number() over (
                partition by staged.referral_id
                order by staged.updated_at desc nulls last, staged.updated_tick desc, staged.row_no desc
            ) as newest,
            partner_center_folded(%(direction)s) = 'any'
            or coalesce(partner_center_folded(staged.direction) = partner_center_folded(%(direction)s), false)
                as direction_fits,
            coalesce(
                partner_center_folded(staged.status) in (
                    select partner_center_folded(wanted.status)
                    from jsonb_array_elements_text(%(statuses)s::jsonb) as wanted (status)
                ),
                false
            ) as status_fits
        from partner_center_staged as staged
        where staged.run_id = %(run_id)s
    ) as ranked
    left join partner_center_referrals as stored on ranked.referral_id = stored.referral_id
) as decided
where partner_center_staged.run_id = %(run_id)s and partner_center_staged.row_no = decided.row_no;

select
    count(*) filter (where outcome = 'duplicate')::integer as duplicates,
    count(*) filter (where outcome = 'eligible')::integer as eligible,
    jsonb_strip_nulls(jsonb_build_object(
        'direction', nullif(count(*) filter (where outcome = 'skipped' and skip_reason = 'direction'), 0),
        'status', nullif(count(*) filter (where outcome = 'skipped' and skip_reason = 'status'), 0)
    )) as skipped,
    count(*) filter (where outcome = 'closed')::integer as closed
from partner_center_staged
where run_id = %(run_id)s;
