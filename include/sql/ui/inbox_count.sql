-- What: how many referrals the filters let through, up to a number that nobody counts beyond.
-- Why twice is safe: it only reads.

select count(*) as found
from (
    select matching.referral_id
    from ({matching}) as matching
    limit %(at_most)s
) as counted;
