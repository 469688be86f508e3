-- What: takes the lock under which the account's salt is chosen, and returns the salt, if there is one.
-- Why twice is safe: it writes nothing; the lock ends with the transaction.

select pg_advisory_xact_lock(partner_center_lock_key('partner_center_erased_people'));

select salt
from partner_center_erased_people
limit 1;
