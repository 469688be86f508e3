-- What: takes the writer's lock of the account, as the load does.
-- Why twice is safe: it writes nothing; the lock ends with the transaction.

select pg_advisory_xact_lock(partner_center_lock_key('partner_center_referrals'));
