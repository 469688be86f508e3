-- What: how many quarantined rows were not stored since, by reason.
-- Why twice is safe: it only reads.

select
    reason,
    count(*) as open_rows
from partner_center_quarantine
where replayed_at is null
group by reason
