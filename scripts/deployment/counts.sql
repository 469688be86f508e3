-- What: how many rows each of the package's tables holds, in every account's schema.
-- Why twice is safe: it only reads.
select
    format(
        'select %L, count(*) from %I.%I',
        place.nspname || '.' || part.relname, place.nspname, part.relname
    )
from pg_class as part
inner join pg_namespace as place on part.relnamespace = place.oid
where part.relkind = 'r' and part.relname like 'partner\_center\_%'
order by place.nspname, part.relname
\gexec
