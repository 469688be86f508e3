"""Several partner accounts in one database: none sees, writes, restores, locks or migrates what is another one's."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import connection_to
from tests.integration.test_migrations import HEAD, MIGRATIONS, TABLES
from tests.support.environment import ROOT
from tests.support.sync import Sync, referral
from tests.support.warehouse import CONNECTION, Warehouse

EMEA = "partner_center_emea"
SETTING = "HUNTER_PARTNER_CENTER_CONNECTIONS"
LOCK = "select pg_advisory_xact_lock(hashtextextended('partner_center_referrals', 0))"
ALL = "select source_conn_id, referral_id, name from partner_center_all_referrals order by 1, 2"


class AccountSync(Sync):
    """The steps of runs of one account."""

    def __init__(self, warehouse: Warehouse, connection_id: str) -> None:
        from partner_center.accounts import Account

        super().__init__(warehouse)
        self.account = Account(connection_id)

    def __call__(self, *rows: dict[str, Any] | str, **params: Any) -> dict[str, Any]:
        from partner_center.warehouse import tables_of

        with tables_of(self.account):
            return super().__call__(*rows, **params)

    def migrate(self, *, auto_migrate: bool = True) -> None:
        from partner_center.warehouse import ensure_schema, tables_of

        with tables_of(self.account):
            ensure_schema(MIGRATIONS, auto_migrate=auto_migrate)

    def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        schema = self.account.schema
        return {table: self.warehouse.value(f"select count(*) from {schema}.{table}") for table in sorted(TABLES)}

    def names(self) -> dict[str, str]:
        rows = self.warehouse.rows(f"select referral_id, name from {self.account.schema}.partner_center_referrals")
        return {row["referral_id"]: row["name"] for row in rows}

    def loaded_at(self, run_id: str) -> Any:
        runs = f"{self.account.schema}.partner_center_sync_runs"
        return self.warehouse.value(f"select loaded_at from {runs} where run_id = %s", (run_id,))


@pytest.fixture
def emea(airflow_home: Any, warehouse: Warehouse) -> AccountSync:
    """Another account, alone in its database."""
    sync = AccountSync(warehouse, EMEA)
    sync.migrate()
    return sync


@pytest.fixture
def default(emea: AccountSync) -> AccountSync:
    """The default account beside it."""
    sync = AccountSync(emea.warehouse, "partner_center_default")
    sync.migrate()
    return sync


def named(number: int, name: str, minute: int = 0, **more: Any) -> dict[str, Any]:
    contact = {"customerProfile": {"name": name, "team": [{"email": f"ann@{name}.com"}]}}
    return referral(number, name=name, updatedDateTime=f"2026-11-01T00:{minute:02d}:00Z", **contact, **more)


def run_everything(sync: AccountSync, word: str) -> None:
    """Leave rows in all of an account's tables: two runs, of the same ids in every account."""
    sync(named(1, f"{word}one"), named(2, f"{word}two"), named(3, f"{word}three", status="Closed"), "[]", newField=1)
    sync(named(1, f"{word}renamed", minute=1, substatus="Odd"), named(2, f"{word}two"))


# --- rows ------------------------------------------------------------------------------------------------------------


def test_an_account_stands_alone(emea: AccountSync) -> None:
    run_everything(emea, "emea")
    assert emea.names() == {"id-1": "emearenamed", "id-2": "emeatwo"}
    assert emea.warehouse.value("select count(*) from pg_tables where schemaname = 'public'") == 0


def test_the_same_ids_in_two_accounts_are_different_referrals(emea: AccountSync, default: AccountSync) -> None:
    assert set(emea.counts().values()) == {0}
    run_everything(default, "home")
    assert set(emea.counts().values()) == {0}
    before, at_home = default.counts(), default.warehouse.referrals()
    run_everything(emea, "emea")
    assert default.counts() == emea.counts() == before
    empty = {table for table, rows in before.items() if rows == 0}
    assert empty == {"partner_center_link_overrides", "partner_center_erased_people"}
    assert default.warehouse.referrals() == at_home
    assert default.names() == {"id-1": "homerenamed", "id-2": "hometwo"}
    assert emea.names() == {"id-1": "emearenamed", "id-2": "emeatwo"}


def test_a_row_says_whose_it_is_and_one_view_has_all(emea: AccountSync, default: AccountSync) -> None:
    run_everything(default, "home")
    run_everything(emea, "emea")
    for sync, schema in ((default, "public"), (emea, EMEA)):
        for table in ("partner_center_referrals", "partner_center_sync_runs"):
            found = sync.warehouse.rows(f"select distinct source_conn_id from {schema}.{table}")
            assert found == [{"source_conn_id": sync.account.connection_id}]
    assert [tuple(row.values()) for row in emea.warehouse.rows(ALL)] == [
        ("partner_center_default", "id-1", "homerenamed"),
        ("partner_center_default", "id-2", "hometwo"),
        (EMEA, "id-1", "emearenamed"),
        (EMEA, "id-2", "emeatwo"),
    ]


def test_restore_in_one_account_leaves_the_other(emea: AccountSync, default: AccountSync) -> None:
    run_everything(default, "home")
    run_everything(emea, "emea")
    at_home, counts = default.warehouse.referrals(), default.counts()
    # As a version from before the column: it has no account yet.
    emea.warehouse.execute(f"update {EMEA}.partner_center_referral_versions set version = version - 'source_conn_id'")
    as_of = emea.warehouse.rows(f"select * from {EMEA}.partner_center_referrals_as_of_run('run-1')")
    assert {row["name"] for row in as_of} == {"emeaone", "emeatwo"}
    (done,) = emea.warehouse.rows(f"select * from {EMEA}.partner_center_restore(%s)", (emea.loaded_at("run-1"),))
    assert (done["restored"], done["removed"]) == (1, 0)
    assert emea.names() == {"id-1": "emeaone", "id-2": "emeatwo"}
    assert emea.warehouse.rows(f"select distinct source_conn_id from {EMEA}.partner_center_referrals") == [
        {"source_conn_id": EMEA}
    ]
    assert (default.warehouse.referrals(), default.counts()) == (at_home, counts)
    # And the other way round.
    elsewhere = emea.counts()
    default.warehouse.execute("update partner_center_referral_versions set version = version - 'source_conn_id'")
    default.warehouse.rows("select * from partner_center_restore(%s)", (default.loaded_at("run-1"),))
    assert default.names() == {"id-1": "homeone", "id-2": "hometwo"}
    assert emea.counts() == elsewhere


def test_a_persons_link_is_the_accounts(emea: AccountSync, default: AccountSync) -> None:
    run_everything(default, "home")
    run_everything(emea, "emea")
    emea.warehouse.execute(
        f"insert into {EMEA}.partner_center_link_overrides (referral_id, domain) values ('id-1', 'contoso.com')"
    )
    domain = "select domain from {}.partner_center_referrals where referral_id = 'id-1'"
    assert emea.warehouse.value(domain.format(EMEA)) == "contoso.com"
    assert emea.warehouse.value(domain.format("public")) == "homerenamed.com"
    assert default.counts()["partner_center_link_overrides"] == 0


def test_every_function_works_where_it_stands(emea: AccountSync, default: AccountSync) -> None:
    rows = emea.warehouse.rows(
        """
        select pronamespace::regnamespace::text as place, unnest(proconfig) as setting
        from pg_proc where proname like 'partner_center%' and proconfig is not null
        """
    )
    assert len(rows) == 10
    assert {(row["place"], row["setting"]) for row in rows} == {
        ("public", "search_path=public"),
        (EMEA, f"search_path={EMEA}"),
    }


# --- locks -----------------------------------------------------------------------------------------------------------


def test_accounts_do_not_wait_for_each_other(emea: AccountSync, default: AccountSync) -> None:
    staging = "select pg_advisory_xact_lock(hashtextextended('partner_center_drop_old_staging', 0))"
    migrations = "select pg_advisory_xact_lock(hashtextextended('partner_center_migrations', 0))"
    emea(named(1, "one"))
    emea.warehouse.execute(
        f"update {EMEA}.partner_center_sync_runs set started_at = 'epoch', read_at = 'epoch' where run_id = 'run-1'"
    )
    with emea.warehouse.connect() as holder, holder.transaction():
        for lock in (LOCK, staging, migrations):
            holder.execute(lock)
        emea(named(1, "two", minute=1))
        emea.warehouse.rows(f"select * from {EMEA}.partner_center_restore(%s)", (emea.loaded_at("run-2"),))
        # And an id may be a word of SQL.
        AccountSync(emea.warehouse, "order").migrate()
    assert emea.warehouse.value(f"select count(*) from {EMEA}.partner_center_staged where run_id = 'run-1'") == 0


def test_an_accounts_writers_wait_for_each_other(emea: AccountSync) -> None:
    import psycopg

    ours = (
        f"set search_path = {EMEA}; select pg_advisory_xact_lock(partner_center_lock_key('partner_center_referrals'))"
    )
    with emea.warehouse.connect() as holder, holder.transaction():
        holder.execute(ours)
        with emea.warehouse.connect() as waiting, pytest.raises(psycopg.errors.LockNotAvailable):
            waiting.execute("set lock_timeout = '50ms'")
            waiting.execute(f"select * from {EMEA}.partner_center_restore('2026-01-01')")


# --- migrations ------------------------------------------------------------------------------------------------------


@pytest.fixture
def alembic(airflow_home: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run alembic's command line in this process; returns what it printed, or said of its failure."""
    from alembic.config import CommandLine, Config

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")

    def run(*arguments: str) -> str:
        printed = io.StringIO()
        commands = CommandLine()
        options = commands.parser.parse_args(arguments)
        try:
            commands.run_cmd(Config(ROOT / "alembic.ini", stdout=printed, cmd_opts=options), options)
        except SystemExit:
            return "".join(capsys.readouterr())
        return printed.getvalue().strip()

    return run


def schemas(warehouse: Warehouse) -> set[str]:
    rows = warehouse.rows("select schemaname from pg_tables where tablename = 'partner_center_referrals'")
    return {row["schemaname"] for row in rows}


def test_upgrade_head_is_for_every_account(warehouse: Warehouse, alembic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, EMEA)
    alembic("upgrade", "head")
    assert schemas(warehouse) == {"public", EMEA}
    # Also for one that has been taken off the setting: its rows are there. A copy of somebody's is no account.
    monkeypatch.delenv(SETTING)
    warehouse.execute(
        f"update {EMEA}.partner_center_alembic_version set version_num = '0004_accounts_and_links'; "
        "create schema copied; create table copied.partner_center_referrals as table partner_center_referrals"
    )
    alembic("upgrade", "head")
    assert warehouse.value(f"select version_num from {EMEA}.partner_center_alembic_version") == HEAD
    assert schemas(warehouse) == {"public", EMEA, "copied"}


def test_one_account_alone_and_current_as_ever(warehouse: Warehouse, alembic: Any) -> None:
    assert alembic("current") == alembic("-x", f"account={EMEA}", "current") == ""
    assert warehouse.value("select count(*) from pg_namespace where nspname = %s", (EMEA,)) == 0
    alembic("-x", f"account={EMEA}", "upgrade", "head")
    assert schemas(warehouse) == {EMEA}
    assert (alembic("current"), alembic("-x", f"account={EMEA}", "current")) == ("", f"{HEAD} (head)")
    alembic("-x", "account=partner_center_default", "upgrade", "head")
    assert alembic("current") == f"{HEAD} (head)"


def test_a_part_of_the_way_is_for_the_default_account(
    warehouse: Warehouse, alembic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, EMEA)
    alembic("upgrade", "0004_accounts_and_links")
    assert schemas(warehouse) == {"public"}
    refused = alembic("-x", f"account={EMEA}", "upgrade", "0004_accounts_and_links")
    assert "Revision 0004_accounts_and_links knows the default account alone" in refused
    assert f"alembic -x account={EMEA} upgrade head" in refused
    assert schemas(warehouse) == {"public"}
    assert "cannot be the connection of a partner account" in alembic("-x", "account=pg_x", "upgrade", "head")


def test_what_is_stored_gets_its_account_without_being_written_again(warehouse: Warehouse, alembic: Any) -> None:
    alembic("upgrade", "0004_accounts_and_links")
    warehouse.execute(
        """
        insert into partner_center_referrals (
            referral_id, referral_type, link_status, raw_data, content_hash, mapping_version, first_synced_at,
            first_run_id, synced_at, last_run_id
        )
        values ('id-1', 'co-sell', 'linked', '{}', '', 1, now(), 'run', now(), 'run')
        """
    )
    files = "select pg_relation_filenode('partner_center_referrals'), xmin::text from partner_center_referrals"
    before = warehouse.rows(files)
    alembic("upgrade", "0005_accounts")
    assert warehouse.rows(files) == before
    assert warehouse.rows("select source_conn_id from partner_center_all_referrals") == [
        {"source_conn_id": "partner_center_default"}
    ]


def test_the_way_back_keeps_the_rows_and_the_way_forth_finds_them(
    default: AccountSync, emea: AccountSync, alembic: Any
) -> None:
    run_everything(default, "home")
    run_everything(emea, "emea")
    at_home = default.warehouse.referrals()
    alembic("downgrade", "0004_accounts_and_links")
    assert default.warehouse.value("select to_regclass('partner_center_all_referrals')") is None
    assert default.warehouse.referrals() == at_home
    # The older code's load does not know the column, and its lock is the same.
    default.warehouse.execute("update partner_center_referrals set name = name")
    with pytest.raises(NotImplementedError, match="older code knows the default account alone"):
        alembic("-x", f"account={EMEA}", "downgrade", "0004_accounts_and_links")
    alembic("upgrade", "head")
    assert len(default.warehouse.rows(ALL)) == 4
    default.warehouse.rows("select * from partner_center_restore(%s)", (default.loaded_at("run-1"),))
    assert default.names() == {"id-1": "homeone", "id-2": "hometwo"}
    alembic("downgrade", "0001_initial")
    alembic("upgrade", "head")
    assert (len(default.warehouse.rows(ALL)), set(emea.names())) == (4, {"id-1", "id-2"})


def test_switched_off_the_message_has_the_accounts_own_command(airflow_home: Any, warehouse: Warehouse) -> None:
    from partner_center.errors import SchemaBehind

    sync = AccountSync(warehouse, EMEA)
    with pytest.raises(SchemaBehind, match=rf"schema {EMEA} is at revision none.*alembic -x account={EMEA} upgrade"):
        sync.migrate(auto_migrate=False)
    sync.migrate()
    sync.migrate(auto_migrate=False)


@pytest.fixture
def limited(airflow_home: Any, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A user who may make tables in public and nothing else; the warehouse's connection is theirs."""
    role = f"{warehouse.dsn.rsplit('/', 1)[1]}_limited"
    warehouse.execute(f"create role {role} login password 'word'; grant usage, create on schema public to {role}")
    connection = json.loads(warehouse.connection) | {"login": role, "password": "word"}
    monkeypatch.setenv(CONNECTION, json.dumps(connection))
    yield role
    warehouse.execute(f"drop owned by {role} cascade; drop role {role}")


@pytest.mark.parametrize("made", [False, True])
def test_who_may_not_make_the_schema_is_told_the_sql(warehouse: Warehouse, limited: str, made: bool) -> None:
    from partner_center.errors import ConfigurationError

    if made:
        warehouse.execute(f"create schema {EMEA}")
    sync = AccountSync(warehouse, EMEA)
    with pytest.raises(ConfigurationError, match="nothing was made") as raised:
        sync.migrate()
    statement = str(raised.value).split(": ", 1)[1].split(";")[0]
    assert f'"{EMEA}"' in statement
    warehouse.execute(statement)
    sync.migrate()
    assert sync.counts()["partner_center_referrals"] == 0


# --- the view over all -----------------------------------------------------------------------------------------------


def test_a_view_of_somebody_else_is_told_and_the_account_comes_in(
    warehouse: Warehouse, limited: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as owner:
        owner.setenv(CONNECTION, warehouse.connection)
        AccountSync(warehouse, "partner_center_default").migrate()
    warehouse.execute(f"create schema {EMEA} authorization {limited}")
    sync = AccountSync(warehouse, EMEA)
    with caplog.at_level(logging.WARNING):
        sync.migrate()
        sync(named(1, "one"))
    assert "could not be made anew (must be owner of view partner_center_all_referrals)" in caplog.text
    assert warehouse.rows(ALL) == []
    warehouse.execute(caplog.text.split("run: ")[1].splitlines()[0])
    assert [tuple(row.values()) for row in warehouse.rows(ALL)] == [(EMEA, "id-1", "one")]


def test_an_account_that_may_not_be_read_does_not_close_the_view(warehouse: Warehouse, limited: str) -> None:
    warehouse.execute(
        "create schema foreign_one; create table foreign_one.partner_center_alembic_version (version_num text); "
        "create table foreign_one.partner_center_referrals (source_conn_id text)"
    )
    AccountSync(warehouse, "partner_center_default").migrate()
    assert warehouse.rows(ALL) == []


def test_the_view_keeps_its_grants_and_is_in_no_migrations_way(default: AccountSync, emea: AccountSync) -> None:
    warehouse = default.warehouse
    warehouse.execute(
        """
        grant select on partner_center_all_referrals to public;
        create view theirs as select * from partner_center_all_referrals;
        alter table partner_center_referrals add column later integer;
        alter table partner_center_referrals alter column domain_missing_reason type varchar(40), drop column later
        """
    )
    apac = AccountSync(warehouse, "apac")
    apac.migrate()
    apac(named(1, "one"))
    assert warehouse.value("select count(*) from theirs") == 1
    assert warehouse.value("select has_table_privilege('pg_monitor', 'partner_center_all_referrals', 'select')")
    # Taken away for good: the view over the others is made again by hand.
    warehouse.execute("drop schema apac cascade; select partner_center_join_accounts()")
    assert warehouse.rows(ALL) == []


# --- connection, tokens, flag ----------------------------------------------------------------------------------------


def test_each_account_has_its_own_tokens(variables: None, simulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from partner_center.hook import PartnerCenterHook

    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_EMEA", json.dumps(connection_to(simulator)))
    sign_in_as(EMEA, simulator)
    assert PartnerCenterHook(EMEA).test_connection()[0]
    passed, message = PartnerCenterHook().test_connection()
    assert (passed, "[not_signed_in]" in message) == (False, True)
    simulator.control.clear_violations()


def test_airflows_test_button_finds_the_tokens_by_the_tenant(
    variables: None, simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from partner_center.hook import PartnerCenterHook

    connection = json.dumps(connection_to(simulator))
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DEFAULT", json.dumps({"conn_type": "partner_center"}))
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_EMEA", connection)
    monkeypatch.setenv("AIRFLOW_CONN_RANDOMID", connection)
    assert PartnerCenterHook("RandomId").account.is_default
    monkeypatch.setenv(SETTING, EMEA)
    assert PartnerCenterHook("RandomId").account.connection_id == EMEA


def test_the_tenant_of_the_environment_reaches_no_other_account(
    airflow_home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from partner_center.errors import ConfigurationError
    from partner_center.hook import PartnerCenterHook

    for name in ("CLIENT_ID", "TENANT_ID"):
        monkeypatch.setenv(f"HUNTER_PARTNER_CENTER_{name}", "home")
    assert PartnerCenterHook().settings.tenant_id == "home"
    with pytest.raises(ConfigurationError, match=f"Set it in the connection {EMEA}: your Entra tenant"):
        _ = PartnerCenterHook(EMEA).settings
    monkeypatch.setenv(
        "AIRFLOW_CONN_PARTNER_CENTER_EMEA", json.dumps({"conn_type": "partner_center", "extra": {"tenant_id": "e"}})
    )
    found = PartnerCenterHook(EMEA).settings
    assert (found.tenant_id, found.client_id) == ("e", "home")


@pytest.mark.parametrize(
    ("everywhere", "own", "runs"),
    [("true", None, True), ("true", "true", True), ("true", "false", False), ("false", "true", False)],
)
def test_an_account_can_be_switched_off_alone(
    variables: None, monkeypatch: pytest.MonkeyPatch, everywhere: str, own: str | None, runs: bool
) -> None:
    from partner_center import airflow_store
    from partner_center.accounts import DEFAULT, Account

    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", everywhere)
    if own is not None:
        monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED__EMEA", own)
    assert airflow_store.sync_enabled(Account(EMEA)) is runs
    assert airflow_store.sync_enabled(DEFAULT) is (everywhere == "true")


def test_who_is_signed_in_to_one_account_does_not_count_in_another(
    emea: AccountSync, signed_in: None, simulator: Any, flag_on: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from partner_center import steps
    from partner_center.runs import RunRequest

    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_EMEA", json.dumps(connection_to(simulator)))
    simulator.control.clear_requests()

    def skipped(run_id: str) -> str:
        request = RunRequest(run_id, "incremental", "Incoming", ("New",), None, dry_run=False, account=emea.account)
        with pytest.raises(AirflowSkipException) as raised:
            steps.acquire_token(request, MIGRATIONS)
        noted = emea.warehouse.rows(f"select * from {EMEA}.partner_center_sync_runs where run_id = %s", (run_id,))
        assert [(row["state"], row["source_conn_id"]) for row in noted] == [("skipped", EMEA)]
        return str(raised.value)

    assert f"This is the account {EMEA}: give that as the DAG's param connection" in skipped("not signed in")
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED__EMEA", "false")
    assert "partner_center_enabled__emea to true or delete it" in skipped("switched off")
    assert simulator.control.requests() == []


def sign_in_as(connection_id: str, simulator: Any) -> None:
    from partner_center.hook import PartnerCenterHook

    tokens = PartnerCenterHook(connection_id).tokens
    flow = tokens.start_device_flow()
    simulator.control.approve(flow["user_code"])
    tokens.finish_device_flow(flow)
