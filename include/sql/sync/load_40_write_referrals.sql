-- What: writes the pending rows; a field's place in the API's JSON is the mapping.
-- Why twice is safe: a referral has one row, by its id; a dry run writes none. What was missing is back.
-- noqa: disable=LT02

with upserted as (
insert into partner_center_referrals (
    referral_id, engagement_id, external_reference_id, name, status, substatus, type, referral_type, qualification,
    direction, customer_name, customer_country, domain, domain_source, domain_missing_reason, domain_candidates,
    link_status, deal_value, currency, created_at, updated_at, updated_tick, expires_at, closing_at, raw_data,
    content_hash, mapping_version, read_at, first_synced_at, first_run_id, synced_at, last_run_id
)
select
    staged.referral_id,
    raw.payload ->> 'engagementId',
    raw.payload ->> 'externalReferenceId',
    raw.payload ->> 'name',
    raw.payload ->> 'status',
    raw.payload ->> 'substatus',
    raw.payload ->> 'type',
    partner_center_referral_type(
        raw.payload ->> 'type',
        raw.payload ->> 'qualification',
        raw.payload #>> '{inviteContext,invitedBy,organizationId}'
    ),
    raw.payload ->> 'qualification',
    raw.payload ->> 'direction',
    raw.payload #>> '{customerProfile,name}',
    raw.payload #>> '{customerProfile,address,country}',
    pending.domain,
    pending.domain_source,
    derived.domain_missing_reason,
    derived.domain_candidates,
    pending.link_status,
    staged.deal_value,
    raw.payload #>> '{details,currency}',
    staged.created_at,
    staged.updated_at,
    staged.updated_tick,
    staged.expires_at,
    staged.closing_at,
    raw.payload,
    staged.content_hash,
    %(mapping_version)s,
    coalesce(run.read_at, run.started_at),
    run.loaded_at as first_synced_at,
    %(run_id)s,
    run.loaded_at as synced_at,
    %(run_id)s
from pending
inner join partner_center_sync_runs as run on run.run_id = %(run_id)s
inner join partner_center_staged as staged
    on staged.run_id = %(run_id)s and pending.row_no = staged.row_no
inner join partner_center_staged_domains as derived
    on derived.run_id = %(run_id)s and pending.row_no = derived.row_no
inner join partner_center_staged_payloads as raw
    on raw.run_id = %(run_id)s and pending.row_no = raw.row_no
where not %(dry_run)s::boolean
on conflict (referral_id) do update set (
    engagement_id, external_reference_id, name, status, substatus, type, referral_type, qualification, direction,
    customer_name, customer_country, domain, domain_source, domain_missing_reason, domain_candidates, link_status,
    deal_value, currency, created_at, updated_at, updated_tick, expires_at, closing_at, raw_data, content_hash,
    mapping_version, synced_at, last_run_id, read_at, missing_since
) = (
    excluded.engagement_id, excluded.external_reference_id, excluded.name, excluded.status, excluded.substatus,
    excluded.type, excluded.referral_type, excluded.qualification, excluded.direction, excluded.customer_name,
    excluded.customer_country, excluded.domain, excluded.domain_source, excluded.domain_missing_reason,
    excluded.domain_candidates, excluded.link_status, excluded.deal_value, excluded.currency, excluded.created_at,
    excluded.updated_at, excluded.updated_tick, excluded.expires_at, excluded.closing_at, excluded.raw_data,
    excluded.content_hash, excluded.mapping_version, excluded.synced_at, excluded.last_run_id,
    -- A newer version can come from an earlier read, which does not know that the referral has vanished since.
    greatest(excluded.read_at, partner_center_referrals.read_at),
    case
        when excluded.read_at < partner_center_referrals.read_at then partner_center_referrals.missing_since
    end
)
returning
    referral_id, first_synced_at = synced_at as is_new, status, domain, customer_name, customer_country,
    least(created_at, synced_at) as seen_from, least(updated_at, synced_at) as seen_until,
    case when first_synced_at < synced_at then partner_center_tracked(partner_center_referrals) end as tracked
)

insert into written
select * from upserted;

analyze written;
