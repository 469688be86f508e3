-- What: keeps a fingerprint, so that rows that come in from now on lose the person.
-- Why twice is safe: a fingerprint stands there once.

insert into partner_center_erased_people (fingerprint, kind, salt)
values (%(fingerprint)s, %(kind)s, %(salt)s)
on conflict (fingerprint) do nothing;
