-- What: one row of history for each tracked field that a pending row changes, before the load overwrites it.
-- Why twice is safe: after the load nothing is pending any more.

insert into partner_center_referral_history (referral_id, run_id, field, old_value, new_value)
select
    stored.referral_id,
    %(run_id)s,
    change.field,
    change.old_value,
    change.new_value
from pending
inner join partner_center_referrals as stored on pending.referral_id = stored.referral_id
inner join partner_center_staged as staged
    on staged.run_id = %(run_id)s and pending.row_no = staged.row_no
inner join partner_center_staged_domains as derived
    on derived.run_id = %(run_id)s and pending.row_no = derived.row_no
inner join partner_center_staged_payloads as staged_payload
    on staged_payload.run_id = %(run_id)s and pending.row_no = staged_payload.row_no
cross join
    lateral (
        values
        ('name', stored.name, staged_payload.payload ->> 'name'),
        ('status', stored.status, staged_payload.payload ->> 'status'),
        ('substatus', stored.substatus, staged_payload.payload ->> 'substatus'),
        ('qualification', stored.qualification, staged_payload.payload ->> 'qualification'),
        ('customer_name', stored.customer_name, staged_payload.payload #>> '{customerProfile,name}'),
        ('domain', stored.domain, derived.domain),
        ('deal_value', trim_scale(stored.deal_value)::text, trim_scale(staged.deal_value)::text),
        ('currency', stored.currency, staged_payload.payload #>> '{details,currency}'),
        ('expires_at', to_json(stored.expires_at) #>> '{}', to_json(staged.expires_at) #>> '{}'),
        ('closing_at', to_json(stored.closing_at) #>> '{}', to_json(staged.closing_at) #>> '{}')
    ) as change (field, old_value, new_value)
where not %(dry_run)s::boolean and change.old_value is distinct from change.new_value;
