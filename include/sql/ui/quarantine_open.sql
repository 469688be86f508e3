-- What: how many quarantined rows were not stored since, and the newest of them, for the alerts.
-- Why twice is safe: it only reads.

select
    quarantine_id,
    run_id,
    reason,
    received_at,
    count(*) over () as open_rows
from partner_center_quarantine
where replayed_at is null
order by quarantine_id desc
limit 1
