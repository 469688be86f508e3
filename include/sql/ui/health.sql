-- What: when the sync last succeeded, and how its last run ended. A dry run and a replay say nothing about that, nor
-- does a run that was skipped because the sync was switched off, nor one that Airflow may still try again.
-- Why twice is safe: it only reads.

with ended as (
    select
        run_id,
        state,
        reason,
        finished_at
    from partner_center_sync_runs
    where
        mode in ('incremental', 'full')
        and not dry_run
        and (state in ('success', 'failed') or (state = 'skipped' and reason like 'sign_in_required:%%'))
        and run_id is distinct from %(unfinished)s
)

select
    latest.run_id,
    latest.state,
    latest.reason,
    latest.finished_at,
    (
        select max(each.finished_at) from ended as each
        where each.state = 'success'
    ) as last_success_at
from ended as latest
order by latest.finished_at desc
limit 1
