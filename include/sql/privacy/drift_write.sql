-- What: deletes an undocumented value that names the person; a later run that sees it notes it without.
-- Why twice is safe: what is gone is gone.

delete from partner_center_contract_drift
where value = %(key)s and path = %(key_2)s;
