-- What: whom this account must not store again: fingerprints of erased people, and of referrals erased of all people.
-- Why once only: alembic runs each revision once in a schema, in a transaction, under an advisory lock (warehouse.py).

-- What a downgrade has put aside counts again: who was erased must not come back.
do $$
begin
    if to_regclass('partner_center_erased_people') is null
        and to_regclass('partner_center_erased_people_kept') is not null
    then
        alter table partner_center_erased_people_kept rename to partner_center_erased_people;
    end if;
end
$$;

create table if not exists partner_center_erased_people (
    fingerprint bytea primary key,
    kind text not null check (kind in ('address', 'referral')),
    salt bytea not null,
    erased_at timestamptz not null default now()
);

comment on table partner_center_erased_people is
'who is left out of every row that comes in; rows stay when data are deleted: without them, people come back';
comment on column partner_center_erased_people.fingerprint is
'HMAC-SHA-256, by the salt, of kind, colon, and the e-mail address in small letters or the id of the referral';
comment on column partner_center_erased_people.salt is 'random, the same in all rows of the schema';
