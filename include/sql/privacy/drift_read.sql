-- What: the undocumented values that hold the address, or any address in a referral of `personal`: they may be cut.
-- Why twice is safe: it writes nothing.

select
    known.value as key,
    known.path as key_2,
    'gone' as document
from partner_center_contract_drift as known
where
    strpos(partner_center_folded(known.value), %(needle)s) > 0
    or (
        strpos(known.value, '@') > 0
        and known.example_referral_id in (select personal.referral_id from personal)
    );
