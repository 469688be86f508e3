"""Staging a run's pages in a real PostgreSQL: what can be stored is, what cannot is kept with its reason."""

import json
import threading
import tracemalloc

import pytest

from partner_center.domains import DomainExtractor
from partner_center.pages import split_page
from partner_center.staging import StagingWriter, write_domains
from simulator.data import AWKWARD, all_awkward
from tests.support.environment import ROOT

MIGRATIONS = ROOT / "include" / "migrations"
RUN = "manual__2026-11-24T10:00:00+00:00_x"
STAGED = "select * from partner_center_staged where run_id = %s order by row_no"


@pytest.fixture
def database(make_migrated, postgres18):
    """The warehouse with its schema."""
    return make_migrated(postgres18)


def row(referral_id, **more):
    return json.dumps({"id": referral_id, "direction": "Incoming", "status": "New", **more}).encode()


def stage(*pages, run=RUN):
    """Stage pages as fetch_pages does; give the writer for its counts."""
    from partner_center.warehouse import connect

    with connect() as connection, StagingWriter(connection, run) as writer:
        for number, rows in enumerate(pages, 1):
            writer.add(number, rows)
    return writer


def known(database, run, age="0 days"):
    """Note a run as fetch_pages does before it stages, some time ago."""
    sql = (
        "insert into partner_center_sync_runs (run_id, mode, direction, statuses, dry_run, state, started_at) "
        "values (%s, 'full', 'any', '{New}', false, 'running', now() - %s::interval)"
    )
    with database.connect() as connection:
        connection.execute(sql, (run, age))


def staged(database, run=RUN):
    return database.rows(STAGED, [run])


def staged_ids(database, run=RUN):
    return [each["referral_id"] for each in staged(database, run)]


def quarantined(database, run=RUN):
    sql = "select reason, raw from partner_center_quarantine where run_id = %s order by quarantine_id"
    return [(each["reason"], each["raw"]) for each in database.rows(sql, [run])]


def payloads(database, run=RUN):
    sql = "select row_no, payload from partner_center_staged_payloads where run_id = %s order by row_no"
    return {each["row_no"]: each["payload"] for each in database.rows(sql, [run])}


# What is stored


def test_rows_are_numbered_over_the_pages(database):
    writer = stage([row("a"), row("b")], [], [row("c")])
    assert [(each["row_no"], each["page"], each["referral_id"]) for each in staged(database)] == [
        (1, 1, "a"),
        (2, 1, "b"),
        (3, 3, "c"),
    ]
    assert (writer.fetched, writer.quarantined) == (3, 0)
    assert [payload["id"] for payload in payloads(database).values()] == ["a", "b", "c"]


def test_a_row_stands_with_all_that_sql_could_stumble_over(database):
    contact = {"team": [{"email": "a@contoso.example"}]}
    deal = {"dealValue": 12_500.5, "closingDateTime": "2027-01-31T00:00:00Z"}
    times = {"createdDateTime": "2026-10-01T08:00:00+02:00", "updatedDateTime": "2026-10-02T00:00:00.1234567Z"}
    stage([row("a", customerProfile=contact, details=deal, expirationDateTime="2026-10-15T00:00:00Z", **times)])
    (found,) = staged(database)
    assert (found["direction"], found["status"], found["outcome"], found["skip_reason"]) == (
        "Incoming",
        "New",
        None,
        None,
    )
    assert str(found["created_at"]) == "2026-10-01 06:00:00+00:00"
    assert (str(found["updated_at"]), found["updated_tick"]) == ("2026-10-02 00:00:00.123456+00:00", 7)
    assert str(found["expires_at"]) == "2026-10-15 00:00:00+00:00"
    assert str(found["closing_at"]) == "2027-01-31 00:00:00+00:00"
    assert str(found["deal_value"]) == "12500.5"
    assert json.loads(found["hints"]) == [["email", "a@contoso.example"]]
    assert len(found["content_hash"]) == 16


def test_any_text_passes_through_copy(database):
    texts = ["back\\slash \\N \\. tab\t end\\", "line\nbreak\rreturn", "\\N", "", "🚀 東京", "{curly}", "%s %(x)s $1"]
    texts += ["'\";--", "\x7f\x01", "\\.", "\t", "null"]
    stage([row(f"r-{number}", name=text, direction=text, status=text) for number, text in enumerate(texts)])
    assert [(each["direction"], each["status"]) for each in staged(database)] == [(text, text) for text in texts]
    assert [payload["name"] for payload in payloads(database).values()] == texts


def test_a_note_of_200_kb_is_stored(database):
    stage([row("a", notes="n" * 200_000), row("b")])
    assert len(payloads(database)[1]["notes"]) == 200_000


def test_missing_values_are_null(database):
    stage([b'{"id":"a"}'])
    (found,) = staged(database)
    empty = ("direction", "status", "created_at", "updated_at", "expires_at", "closing_at", "deal_value")
    assert [found[name] for name in empty] == [None] * 7


def test_runs_have_staging_areas_of_their_own(database):
    for run, name in (("one", "a"), ("two" * 100, "b")):
        known(database, run)
        stage([row(name)], run=run)
    assert staged_ids(database, "one") == ["a"]
    assert staged_ids(database, "two" * 100) == ["b"]


def test_a_run_without_rows_is_staged(database):
    writer = stage([])
    assert (writer.fetched, staged(database), quarantined(database)) == (0, [], [])
    assert stage().fetched == 0


# What is quarantined


def test_a_row_that_is_none_goes_to_the_quarantine_with_its_text(database, caplog):
    bad = [
        b'{"id":"' + b"x" * 300 + b'"}',
        b"null",
        b'{"id":""}',
        b'{"id":"n","x":"\\u0000"}',
        b'{"id":"s","x":"\\ud83d"}',
        b'{"id":"\xff"}',
        b"{cut",
    ]
    writer = stage([row("a"), *bad, row("b")])
    assert staged_ids(database) == ["a", "b"]
    assert [reason for reason, _ in quarantined(database)] == [
        "id_too_long",
        "not_an_object",
        "no_id",
        "nul_character",
        "lone_surrogate",
        "invalid_utf8",
        "malformed_json",
    ]
    assert [raw for _, raw in quarantined(database)] == [text.decode(errors="backslashreplace") for text in bad]
    assert (writer.fetched, writer.quarantined) == (9, 7)
    assert [each["row_no"] for each in staged(database)] == [1, 9]
    assert any("Quarantined 1 row(s): no_id" in message for message in caplog.messages)


def test_a_raw_nul_byte_is_kept_readable(database):
    stage([b'{"id":"a","x":"\x00"}'])
    assert quarantined(database) == [("malformed_json", '{"id":"a","x":"\\u0000"}')]


REFUSED = {
    "a number that overflows": ('{"id":"x","n":1e400000}', "22003"),
    "a number with too many digits": ('{"id":"x","n":' + "9" * 140_000 + "}", "22003"),
    "deep nesting": ('{"id":"x","n":' + "[" * 9_000 + "]" * 9_000 + "}", "54001"),
    "not a number": ('{"id":"x","n":NaN}', "22P02"),
    "infinity": ('{"id":"x","n":-Infinity}', "22P02"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_row_that_postgresql_refuses_is_quarantined_alone(database, name, place):
    text, _ = REFUSED[name]
    rows = [row(f"r-{number}") for number in range(4)]
    rows.insert(place, text.encode())
    writer = stage([row("before")], rows, [row("after")])
    assert staged_ids(database) == ["before", "r-0", "r-1", "r-2", "r-3", "after"]
    ((reason, raw),) = quarantined(database)
    assert reason.startswith(("refused_by_postgres_", "nested_too_deep", "malformed_json"))
    assert raw == text
    assert (writer.fetched, writer.quarantined) == (7, 1)
    assert len(payloads(database)) == 6


@pytest.mark.parametrize("levels", [23, 400, 5_000, 90_000])
def test_moderate_nesting_is_stored_or_quarantined_alone(database, levels):
    text = '{"id":"deep","n":' + '{"d":' * levels + "1" + "}" * levels + "}"
    stage([row("a"), text.encode(), row("b")])
    kept = staged_ids(database) + [json.loads('"deep"') for _, raw in quarantined(database) if raw == text]
    assert sorted(kept) == ["a", "b", "deep"]
    if levels <= 400:
        assert staged_ids(database) == ["a", "deep", "b"]


def test_several_refused_rows_on_several_pages_are_each_quarantined(database):
    bad = b'{"id":"x","n":1e400000}'
    writer = stage([row("a"), bad], [bad, bad], [row("b")], [bad])
    assert staged_ids(database) == ["a", "b"]
    assert [reason for reason, _ in quarantined(database)] == ["refused_by_postgres_22003"] * 4
    assert (writer.fetched, writer.quarantined) == (6, 4)


def test_a_refused_row_on_the_last_page_is_found_when_the_writer_ends(database):
    stage([row("a"), b'{"id":"x","n":1e400000}'])
    assert staged_ids(database) == ["a"]
    assert len(quarantined(database)) == 1


def test_every_awkward_row_of_the_simulator_is_stored_or_quarantined_with_its_text(database):
    texts = all_awkward()
    rows = split_page(b'{"value":[' + b",".join(text.encode() for text in texts) + b"]}").rows
    writer = stage(rows[:100], rows[100:])
    assert writer.fetched == len(texts)
    kept = payloads(database)
    same = "select payload = %s::jsonb as same from partner_center_staged_payloads where run_id = %s and row_no = %s"
    with database.connect() as connection:
        for number in kept:
            found = connection.execute(same, (texts[number - 1], RUN, number)).fetchone()
            assert found == {"same": True}, texts[number - 1][:80]
    gone = [text for number, text in enumerate(texts, 1) if number not in kept]
    assert [raw for _, raw in quarantined(database)] == gone
    assert writer.quarantined == len(gone)


@pytest.mark.parametrize("case", [case for case in AWKWARD.values() if not case.either], ids=lambda case: case.name)
def test_each_awkward_shape_goes_where_it_belongs(database_of_all, case):
    stored, refused = database_of_all
    for text in case.rows:
        assert (text in refused) is (case.expected == "quarantined")
        assert (text in stored) is (case.expected != "quarantined")


@pytest.fixture(scope="module")
def database_of_all(request, airflow_home, postgres18):
    """All awkward rows, staged once for the module: the texts that were stored and those that were not."""
    from tests.support.warehouse import CONNECTION, Warehouse

    name = postgres18.make_database()
    with pytest.MonkeyPatch.context() as patch:
        there = Warehouse(postgres18.dsn(name))
        patch.setenv(CONNECTION, there.connection)
        from partner_center.warehouse import ensure_schema

        ensure_schema(MIGRATIONS, auto_migrate=True)
        texts = all_awkward()
        stage([text.encode() for text in texts])
        stored = {texts[number - 1] for number in payloads(there)}
        refused = {raw for _, raw in quarantined(there)}
    yield stored, refused
    postgres18.drop_database(name)


# A second try


def test_a_second_writer_of_the_run_begins_clean(database):
    stage([row("a"), b"null"], [row("b")])
    writer = stage([row("c"), b"[]"])
    assert staged_ids(database) == ["c"]
    assert list(payloads(database)) == [1]
    assert (writer.fetched, writer.quarantined) == (2, 1)


def test_what_is_quarantined_again_stands_there_once_and_nothing_of_an_earlier_try_is_lost(database):
    stage([row("a"), b"null", b"null", b'"only then"'])
    writer = stage([b"null", row("a"), b"[]"], [b"null"])
    assert sorted(raw for _, raw in quarantined(database)) == ['"only then"', "[]", "null", "null"]
    assert writer.quarantined == 3
    writer = stage([b"null", b"[]", b"null"])
    assert sorted(raw for _, raw in quarantined(database)) == ['"only then"', "[]", "null", "null"]


def test_a_second_writer_leaves_other_runs_alone(database):
    known(database, "other")
    stage([row("a"), b"null"], run="other")
    stage([row("b")])
    stage([row("c")])
    assert staged_ids(database, "other") == ["a"]
    assert len(quarantined(database, "other")) == 1


class Killed(Exception):
    """What a test throws into the middle of a run."""


@pytest.mark.parametrize("pages", [0, 1, 2, 3])
def test_what_an_exception_leaves_behind_is_not_counted_by_the_next_try(database, pages):
    def failing():
        from partner_center.warehouse import connect

        with connect() as connection, StagingWriter(connection, RUN) as writer:
            for number in range(1, pages + 1):
                writer.add(number, [row(f"old-{number}"), b"null"])
            raise Killed

    with pytest.raises(Killed):
        failing()
    left = staged_ids(database)
    assert left == [f"old-{number}" for number in range(1, max(pages, 1))]
    assert [each["row_no"] for each in staged(database)] == list(payloads(database))
    writer = stage([row("new"), b"[]"])
    assert (staged_ids(database), writer.quarantined, writer.fetched) == (["new"], 1, 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_the_error_that_ends_a_run_comes_through_as_it_was(database, error):
    def failing():
        from partner_center.warehouse import connect

        with connect() as connection, StagingWriter(connection, RUN) as writer:
            writer.add(1, [row("a")])
            raise error

    with pytest.raises(error):
        failing()
    assert staged(database) == []


def kill_sessions(database):
    database.rows(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
    )


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_connection_that_is_cut_makes_the_warehouse_unavailable(database, before):
    from partner_center.errors import ApiUnavailable
    from partner_center.warehouse import WarehouseUnavailable, connect

    def cut():
        with connect() as connection, StagingWriter(connection, RUN) as writer:
            for number in range(1, before + 1):
                writer.add(number, [row(f"r-{number}")])
            kill_sessions(database)
            for number in range(before + 1, before + 4):
                writer.add(number, [row(f"r-{number}")])

    with pytest.raises(WarehouseUnavailable) as caught:
        cut()
    assert isinstance(caught.value, ApiUnavailable)
    assert "tried again" in str(caught.value)
    assert stage([row("again")]).fetched == 1
    assert staged_ids(database) == ["again"]


def test_a_connection_that_is_cut_at_the_end_is_noticed_too(database):
    from partner_center.warehouse import WarehouseUnavailable, connect

    def cut():
        with connect() as connection, StagingWriter(connection, RUN) as writer:
            writer.add(1, [row("a")])
            kill_sessions(database)

    with pytest.raises(WarehouseUnavailable):
        cut()
    assert staged(database) == []


def test_an_error_of_postgresql_that_is_not_the_rows_is_raised(database):
    from partner_center.warehouse import WarehouseError

    database.execute("alter table partner_center_staged_payloads rename to gone")
    with pytest.raises(WarehouseError, match="42P01"):
        stage([row("a")])


def test_a_full_disk_is_not_taken_for_a_bad_row(database):
    from partner_center.warehouse import WarehouseError, WarehouseUnavailable

    database.execute(
        "create function full_disk() returns trigger language plpgsql as "
        "$$ begin raise exception 'disk full' using errcode = '53100'; end $$;"
        "create trigger full_disk before insert on partner_center_staged for each row execute function full_disk()"
    )
    with pytest.raises((WarehouseError, WarehouseUnavailable), match="53100"):
        stage([row("a")])
    assert quarantined(database) == []


def test_the_errors_do_not_quote_the_row(database):
    from partner_center.warehouse import WarehouseError

    database.execute(
        "create function loud() returns trigger language plpgsql as "
        "$$ begin raise exception 'no: a@contoso.com' using errcode = '42501', detail = new.hints; end $$;"
        "create trigger loud before insert on partner_center_staged for each row execute function loud()"
    )
    with pytest.raises(WarehouseError) as caught:
        stage([row("a", customerProfile={"team": [{"email": "uwe.lang@fabrikam.de"}]})])
    text = str(caught.value) + repr(caught.value) + repr(caught.value.__cause__)
    assert "uwe.lang" not in text
    assert "a@contoso.com" not in text


# Two writers of one run, as after a worker that is only believed to be dead


def test_a_writer_that_comes_late_does_not_double_the_rows(database):
    from partner_center.warehouse import connect

    with connect() as old_connection, StagingWriter(old_connection, RUN) as old:
        old.add(1, [row("a")])
        begun = threading.Thread(target=lambda: stage([row("a")], [row("b")]))
        begun.start()
        begun.join(1)
    begun.join(30)
    assert not begun.is_alive()
    numbers = [each["row_no"] for each in staged(database)]
    assert len(numbers) == len(set(numbers))
    assert staged_ids(database) == ["a", "b"]


def test_two_writers_that_number_alike_do_not_quarantine_good_rows(database):
    from partner_center.warehouse import WarehouseUnavailable, connect

    def late():
        with connect() as connection, StagingWriter(connection, RUN) as writer:
            stage([row("a")], [row("b")])
            writer.add(1, [row("a")])

    with pytest.raises(WarehouseUnavailable, match="23505"):
        late()
    assert staged_ids(database) == ["a", "b"]
    assert quarantined(database) == []


# Domains


def test_domains_are_found_for_eligible_and_closed_rows(database):
    from partner_center.warehouse import connect

    def contact(*mails):
        return {"customerProfile": {"team": [{"email": mail} for mail in mails]}}

    stage(
        [
            row("a", **contact("x@contoso.com")),
            row("b", **contact("x@gmail.com")),
            row("c", **contact("x@fabrikam.de")),
        ],
        [row("d", **contact("x@northwind.fi")), row("e"), row("f", **contact("x@contoso.com", "y@fabrikam.de"))],
    )
    outcomes = {"a": "eligible", "b": "eligible", "c": "closed", "d": "skipped", "e": "duplicate", "f": "eligible"}
    with database.connect() as connection:
        for referral_id, outcome in outcomes.items():
            connection.execute(
                "update partner_center_staged set outcome = %s where referral_id = %s", (outcome, referral_id)
            )
    for _ in range(2):  # a second try finds the same
        with connect() as connection:
            counts = write_domains(connection, RUN, DomainExtractor().extract)
        assert counts == {"with_domain": 2, "without_domain": 1}
        found = database.rows("select * from partner_center_staged_domains where run_id = %s order by row_no", [RUN])
        assert [(each["row_no"], each["domain"], each["link_status"]) for each in found] == [
            (1, "contoso.com", "linked"),
            (2, None, "unlinked"),
            (3, "fabrikam.de", "linked"),
            (6, "contoso.com", "multi_candidate"),
        ]
    assert found[1]["domain_missing_reason"] == "consumer_only"
    assert found[3]["domain_candidates"] == [
        {"domain": "contoso.com", "source": "email"},
        {"domain": "fabrikam.de", "source": "email"},
    ]


# Memory


def peak_of(pages, database):
    """Return the peak of what Python allocates while so many pages are staged."""
    from partner_center.warehouse import connect

    filler = "n" * 2_000
    page = b'{"value":[' + b",".join(row(f"r-{number}", notes=filler) for number in range(50)) + b"]}"
    stage([row("warm")])
    tracemalloc.start()
    try:
        with connect() as connection, StagingWriter(connection, RUN) as writer:
            for number in range(1, pages + 1):
                writer.add(number, split_page(bytes(bytearray(page))).rows)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_pages(database):
    few, many = peak_of(50, database), peak_of(500, database)
    assert database.value("select count(*) from partner_center_staged where run_id = %s", [RUN]) == 25_000
    # One page is 100 kB here; fifty times ten of them would be 45 MB more.
    assert many < few * 1.2 + 200_000


def test_statistics_are_there_for_the_planner(database):
    stage([row(f"r-{number}") for number in range(100)])
    sql = (
        "select reltuples from pg_class where oid = to_regclass(partner_center_partition('partner_center_staged', %s))"
    )
    assert database.value(sql, [RUN]) == 100


def test_staging_tables_are_unlogged(database):
    stage([row("a")])
    sql = "select relpersistence from pg_class where relispartition and relkind = 'r'"
    assert database.rows(sql) == [{"relpersistence": "u"}] * 3


def test_the_staging_of_old_and_unknown_runs_is_dropped(database):
    parts = "select count(*) from pg_inherits where inhparent = 'partner_center_staged'::regclass"
    for run, age in (("old", "8 days"), ("recent", "6 days"), (RUN, "0 days")):
        known(database, run, age)
    for run in ("old", "recent", "unknown", RUN):
        database.rows("select partner_center_open_staging('partner_center_staged', %s)", [run])
    assert database.value(parts) == 4
    stage([row("a")])
    assert database.value(parts) == 2


def test_an_old_run_that_was_read_anew_keeps_its_staging(database):
    parts = "select count(*) from pg_inherits where inhparent = 'partner_center_staged'::regclass"
    known(database, "old", "30 days")
    stage([row("a")], run="old")
    stage([row("b")])
    assert database.value(parts) == 2


def test_a_backlog_of_staging_melts_away_in_small_steps(database):
    # After a week's pause a thousand runs are old at once: to drop them in one transaction takes more locks than
    # PostgreSQL has room for.
    parts = "select count(*) from pg_inherits where inhparent = 'partner_center_staged_payloads'::regclass"
    known(database, RUN, "0 days")
    database.rows(
        "select count(partner_center_open_staging('partner_center_staged_payloads', 'old ' || number)) "
        "from generate_series(1, 120) as number"
    )
    left = []
    for _ in range(3):
        stage([row("a")])
        left.append(database.value(parts))
    assert left == [21, 1, 1]


def test_two_runs_that_begin_at_once_do_not_drop_the_same(database):
    parts = "select count(*) from pg_inherits where inhparent = 'partner_center_staged'::regclass"
    database.rows("select partner_center_open_staging('partner_center_staged', 'old')")
    with database.connect() as first, first.transaction():
        first.execute("select partner_center_drop_old_staging('7 days')")
        database.execute("set lock_timeout = '1s'; select partner_center_drop_old_staging('7 days')")
    assert database.value(parts) == 0
