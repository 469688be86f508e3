-- What: writes a quarantined row's text without the person.
-- Why twice is safe: the same text gives the same row.

update partner_center_quarantine
set raw = %(document)s
where quarantine_id = %(key)s;
