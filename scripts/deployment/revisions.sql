-- What: for each schema with tables of the package, the revision that they are at.
-- Why twice is safe: it only reads.
select format('select %L, version_num from %I.partner_center_alembic_version', place.nspname, place.nspname)
from pg_class as part
inner join pg_namespace as place on part.relnamespace = place.oid
where part.relname = 'partner_center_alembic_version' and part.relkind = 'r'
order by place.nspname
\gexec
