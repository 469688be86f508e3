"""A person who was erased stands in no table any more, nothing else has changed, and the next run stays green."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import ROOT
from tests.support.sync import LOAD, Sync, referral
from tests.support.warehouse import Warehouse

SQL = ROOT / "include" / "sql" / "privacy"
MIGRATIONS = ROOT / "include" / "migrations"
ADDRESS = "orsolya.kerekes@contoso.com"
TRACES = ("orsolya", "kerekes", "36301234567", "30 123 4567")
CONTACT = {
    "firstName": "Orsolya",
    "lastName": "Kerekes",
    "email": "Orsolya.Kerekes@contoso.com",
    "phoneNumber": "+36 (30) 123-4567",
    "title": "Head of Kerekes",
    "contactPreference": {"locale": "hu-hu"},
}
COLLEAGUE = {"firstName": "Ann", "lastName": "Lee", "email": "ann@contoso.com", "phoneNumber": "+36 1 222 3333"}
NEWER, NEWEST = {"updatedDateTime": "2026-11-02T00:00:00Z"}, {"updatedDateTime": "2026-11-03T00:00:00Z"}
AGAIN = {"dry_run": "False", "mapping_version": 1, "filter_version": 1}
TEXTS = """
select table_schema as schema, table_name as name, column_name as column
from information_schema.columns
inner join information_schema.tables using (table_schema, table_name)
where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')
"""

# Ids, counts and masked accounts; or, of the staging, gone through with partner_center_staged.
HARMLESS = {
    "partner_center_skipped",
    "partner_center_sync_runs",
    "partner_center_erased_people",
    "partner_center_alembic_version",
    "partner_center_staged_payloads",
    "partner_center_staged_domains",
}


@pytest.fixture
def sync(make_migrated: Any, postgres18: Any) -> Sync:
    return Sync(make_migrated(postgres18))


def naming(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a referral that names the person wherever the API lets one be named."""
    row = referral(
        number,
        name="Licences for Orsolya Kerekes",
        externalReferenceId="kerekes, Orsolya",
        customerProfile={
            "name": "Orsolya Kerekes",
            "team": [CONTACT, COLLEAGUE],
            "ids": [{"profileType": "External", "id": ADDRESS}],
        },
        details={
            "notes": "Mrs Kerekes (Orsolya.Kerekes@contoso.com) calls from +3630 123 4567.",
            "dealValue": 1234567890123456.789012,
        },
        odd={"contact": f"mailto:{ADDRESS}"},
    )
    return row | more


def places_of(warehouse: Warehouse, *traces: str) -> set[str]:
    """Return the columns of all tables, partitions too, in which one of the texts stands."""
    found = set()
    wanted = [f"%{trace.lower()}%" for trace in traces]
    with warehouse.connect() as connection:
        for column in connection.execute(TEXTS).fetchall():
            schema, table, name = column.values()
            asked = f'select from "{schema}"."{table}" where lower("{name}"::text) like any(%s) limit 1'
            if connection.execute(asked, (wanted,)).rowcount:
                found.add(f"{schema}.{table}.{name}")
    return found


def erase(address: str | None = ADDRESS, id_: str | None = None, *, really: bool = True) -> dict[str, int]:
    from partner_center.erasing import accounts_with_tables, erase
    from partner_center.erasure_request import Request

    (found,) = [erase(Request(address, id_), each, SQL, really=really) for each in accounts_with_tables(MIGRATIONS)]
    return found.rows


def fill(sync: Sync) -> None:
    """Put the person into every table that can hold one."""
    sync(naming(), referral(2, customerProfile={"name": "Fabrikam", "team": [COLLEAGUE]}))
    sync(
        naming(name="Support for Orsolya Kerekes", **NEWER), '{"email": "orsolya.kerekes@contoso.com", "lastName": "Ker'
    )
    sync.warehouse.execute(
        "insert into partner_center_quarantine (run_id, reason, raw) values "
        f"('r', 'no_id', '{json.dumps({'team': [CONTACT]}).replace('@', chr(92) + 'u0040')}');"
        "insert into partner_center_link_overrides (referral_id, domain, note, set_by) "
        f"values ('id-1', 'contoso.com', 'as Orsolya Kerekes says', '{ADDRESS}');"
        f"insert into partner_center_contract_drift values ('value', 'status', 'for {ADDRESS}', 1, 'id-1', now(), "
        "now(), 'r')"
    )


def test_afterwards_the_person_stands_nowhere(sync: Sync) -> None:
    fill(sync)
    before, stands_in = sync.warehouse.referrals(), places_of(sync.warehouse, *TRACES)
    would = erase(really=False)
    assert places_of(sync.warehouse, *TRACES) == stands_in
    assert sync.warehouse.referrals() == before
    assert {place.split(".")[1] for place in stands_in} >= set(would) - {"partner_center_staged"}
    assert all(would.values()), would
    assert erase() == would
    assert places_of(sync.warehouse, *TRACES) == set()
    assert erase() == dict.fromkeys(would, 0)
    after = sync.warehouse.referrals()
    assert after["id-2"] == before["id-2"]
    changed = {name for name, value in after["id-1"].items() if value != before["id-1"][name]}
    assert changed == {"raw_data", "content_hash", "name", "customer_name", "external_reference_id", "search_text"}
    raw = after["id-1"]["raw_data"]
    assert raw["customerProfile"]["team"][0] == {
        **dict.fromkeys(CONTACT),
        "email": "erased@contoso.com",
        "contactPreference": {"locale": "hu-hu"},
    }
    assert raw["customerProfile"]["team"][1] == COLLEAGUE
    assert raw["details"]["notes"] == "Mrs [erased] (erased@contoso.com) calls from [erased]."
    assert raw["details"]["dealValue"] == before["id-1"]["raw_data"]["details"]["dealValue"]


def test_what_the_api_sends_next_does_not_bring_the_person_back(sync: Sync) -> None:
    fill(sync)
    sync.warehouse.execute("delete from partner_center_link_overrides")
    erase()
    versions = sync.warehouse.versions()
    counts = sync(naming(name="Support for Orsolya Kerekes", **NEWER), referral(2, **NEWEST), mode="full")
    assert (counts["updated"], counts["unchanged"], counts["persisted"], counts["missing"]) == (1, 1, 2, 0)
    assert sync.warehouse.versions()["id-1"] == versions["id-1"]
    # A change is stored, a new referral, too, and what cannot be stored is quarantined: all without the person.
    broken = json.dumps(naming(4)).replace("@", "\\u0040").replace("id-4", "\\ud800")
    counts = sync(naming(**NEWEST), naming(3), broken, mode="full")
    assert (counts["inserted"], counts["updated"], counts["missing"], counts["with_domain"]) == (1, 1, 0, 2)
    assert sync.warehouse.value("select count(*) from partner_center_quarantine where reason = 'lone_surrogate'") == 1
    assert sync.warehouse.value("select domain from partner_center_referrals where referral_id = 'id-3'") == (
        "contoso.com"
    )
    assert places_of(sync.warehouse, *TRACES) == set()


def test_a_run_from_before_can_be_loaded_and_read_back_again(sync: Sync) -> None:
    fill(sync)
    erase()
    again = {**AGAIN, "run_id": "run-2"}
    sync.run(again, *LOAD)
    found = sync.run(again, "verify_counts.sql")
    assert (found["persisted"], found["missing"]) == (1, 0)
    stood = sync.warehouse.rows("select * from partner_center_referrals_as_of_run('run-1') order by referral_id")
    assert [row["customer_name"] for row in stood] == ["[erased]", "Fabrikam"]
    assert places_of(sync.warehouse, *TRACES) == set()


def test_an_earlier_state_that_is_written_back_holds_nobody(sync: Sync) -> None:
    fill(sync)
    erase()
    moment = sync.warehouse.value("select loaded_at from partner_center_sync_runs where run_id = 'run-1'")
    sync.warehouse.execute(f"select partner_center_restore('{moment.isoformat()}')")
    assert sync.warehouse.value("select search_text from partner_center_referrals where referral_id = 'id-1'")
    assert places_of(sync.warehouse, *TRACES) == set()


def test_all_people_of_a_referral(sync: Sync) -> None:
    fill(sync)
    sync(naming(10, **NEWER))
    before = sync.warehouse.referrals()
    found = erase(None, "id-1")
    assert found["partner_center_referrals"] == 1
    after = sync.warehouse.referrals()
    raw = after["id-1"]["raw_data"]
    assert [each["email"] for each in raw["customerProfile"]["team"]] == ["erased@contoso.com"] * 2
    assert {each["lastName"] for each in raw["customerProfile"]["team"]} == {None}
    assert raw["details"]["notes"] == "[erased]"
    assert after["id-1"]["domain"] == "contoso.com"
    assert {id_: row for id_, row in after.items() if id_ != "id-1"} == {
        id_: row for id_, row in before.items() if id_ != "id-1"
    }
    assert sync(naming(**NEWER), naming(10, **NEWER))["updated"] <= 1
    assert sync.warehouse.referrals()["id-1"]["raw_data"]["details"]["notes"] == "[erased]"


def test_whoever_is_erased_while_a_run_reads_is_not_loaded_by_it(sync: Sync) -> None:
    from partner_center import runs, warehouse
    from partner_center.errors import ApiUnavailable, ErasedMeanwhile
    from partner_center.staging import StagingWriter
    from tests.support.sync import request_of

    runs.open_run(request_of("run-1"))

    def read() -> None:
        with warehouse.connect() as connection, StagingWriter(connection, "run-1") as writer:
            writer.add(1, [json.dumps(naming()).encode()])
            if not sync.warehouse.value("select count(*) from partner_center_erased_people"):
                erase()
            writer.add(2, [json.dumps(naming(2)).encode()])

    with pytest.raises(ErasedMeanwhile, match="read anew") as raised:
        read()
    assert isinstance(raised.value, ApiUnavailable)
    assert sync.warehouse.run("run-1")["staged_at"] is None
    read()
    assert places_of(sync.warehouse, *TRACES) == set()


def test_tables_that_this_code_does_not_know_are_not_touched(sync: Sync) -> None:
    from partner_center.errors import SchemaBehind

    fill(sync)
    sync.warehouse.execute("update partner_center_alembic_version set version_num = '0006_inbox'")
    with pytest.raises(SchemaBehind, match="nothing was erased"):
        erase()
    assert places_of(sync.warehouse, *TRACES)


def test_every_table_is_gone_through_or_holds_no_person(sync: Sync) -> None:
    from partner_center.erasing import PLACES

    made = sync.warehouse.rows(
        "select relname from pg_class "
        "where relkind in ('r', 'p') and not relispartition and relname like 'partner_center%'"
    )
    assert {row["relname"] for row in made} == set(PLACES.values()) | HARMLESS


def test_every_account_is_gone_through(sync: Sync) -> None:
    from partner_center.accounts import Account
    from partner_center.erasing import accounts_with_tables, erase
    from partner_center.erasure_request import Request
    from partner_center.warehouse import ensure_schema, tables_of

    emea = Account("partner_center_emea")
    with tables_of(emea):
        ensure_schema(MIGRATIONS, auto_migrate=True)
        sync(naming())
    assert {place.split(".")[0] for place in places_of(sync.warehouse, *TRACES)} == {"partner_center_emea"}
    totals = {each: erase(Request(ADDRESS), each, SQL, really=True).total for each in accounts_with_tables(MIGRATIONS)}
    assert totals.keys() >= {Account(), emea}
    assert totals[Account()] == 0 < totals[emea]
    assert places_of(sync.warehouse, *TRACES) == set()


def test_a_downgrade_puts_the_fingerprints_aside_and_an_upgrade_brings_them_back(sync: Sync, tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    from partner_center.warehouse import engine

    erase()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    for step, revision in ((command.downgrade, "0006_inbox"), (command.upgrade, "head")):
        with engine().begin() as connection:
            config.attributes["connection"] = connection
            step(config, revision)
        rows = "select count(*) from partner_center_erased_people"
        rows += "_kept" if revision != "head" else ""
        assert sync.warehouse.value(rows) == 1
