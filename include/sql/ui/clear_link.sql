-- What: takes a person's own link of a referral back; a trigger gives the referral its candidates' domain again.
-- Why twice is safe: what is gone is not deleted twice.

delete from partner_center_link_overrides
where referral_id = %(referral_id)s;
