-- What: how many quarantined rows were not stored since, and when the oldest of them came, by reason.
-- Why twice is safe: it only reads.

select
    reason,
    count(*) as open_rows,
    extract(epoch from min(received_at))::float8 as oldest
from partner_center_quarantine
where replayed_at is null
group by reason
