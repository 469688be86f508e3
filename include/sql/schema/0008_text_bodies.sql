-- What: the same function as in 0005, for tables that got 0005 while its body was a parsed one. Where a parsed body
-- uses a table's row type, PostgreSQL adds no column with a default to the table any more (seen on 17.12).
-- Why once only: alembic runs each revision once in a schema, in a transaction, under an advisory lock (warehouse.py).

-- The fields whose changes are history, each as text.
create or replace function partner_center_tracked(referral partner_center_referrals) returns jsonb
language sql stable as $$
    select jsonb_build_object(
        'name', referral.name,
        'status', referral.status,
        'substatus', referral.substatus,
        'type', referral.type,
        'referral_type', referral.referral_type,
        'qualification', referral.qualification,
        'direction', referral.direction,
        'external_reference_id', referral.external_reference_id,
        'customer_name', referral.customer_name,
        'customer_country', referral.customer_country,
        'domain', referral.domain,
        'link_status', referral.link_status,
        'deal_value', trim_scale(referral.deal_value)::text,
        'currency', referral.currency,
        'expires_at', to_jsonb(referral.expires_at) #>> '{}',
        'closing_at', to_jsonb(referral.closing_at) #>> '{}',
        'missing_since', to_jsonb(referral.missing_since) #>> '{}'
    );
$$;
