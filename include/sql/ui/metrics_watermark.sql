-- What: the watermark of the last run of the sync that was verified.
-- Why twice is safe: it only reads.

select extract(epoch from watermark)::float8 as watermark
from partner_center_sync_runs
where mode in ('incremental', 'full') and not dry_run and state = 'success' and watermark is not null
order by finished_at desc
limit 1
