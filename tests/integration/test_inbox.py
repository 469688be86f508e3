"""The inbox over a real warehouse: pages, filters, search, and what the REST routes make of them, for whom."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.environment import ROOT as REPOSITORY
from tests.support.pages import ROOT
from tests.support.stored import store, store_all

API = f"{ROOT}/api/v1/referrals"
JSON = {"accept": "application/json"}
AINO = {"firstName": "Aino", "lastName": "Laine", "email": "aino.laine@nordwind.example"}
COLUMN = {
    "updated": "updated_at",
    "created": "created_at",
    "expires": "expires_at",
    "value": "deal_value",
    "customer": "search_text",
}


def migrated(warehouse):
    from partner_center.warehouse import ensure_schema

    ensure_schema(REPOSITORY / "include" / "migrations", auto_migrate=True)
    return warehouse


@pytest.fixture
def stored(airflow_home, warehouse):
    """The warehouse with its tables."""
    return migrated(warehouse)


@pytest.fixture
def vic(client_of, variables, stored):
    """The client of somebody who may only read."""
    return client_of("vic", "VIEWER")


@contextmanager
def reading():
    from partner_center.accounts import DEFAULT
    from partner_center.ui.reading import reading as read

    with read(DEFAULT) as reader:
        yield reader


def found(**asked):
    """Return the ids that the filters let through, and see that the count is theirs."""
    from partner_center.ui import inbox

    filters = inbox.Filters(**asked)
    with reading() as reader:
        ids = [row["referral_id"] for row in inbox.page(reader, filters, limit=500).rows]
        assert inbox.count(reader, filters) == len(ids)
    return sorted(ids)


def get(client, path="", status=200):
    answer = client.get(API + path, headers=JSON)
    assert answer.status_code == status, answer.text
    return answer


# Pages

INSTANTS = st.one_of(st.none(), st.sampled_from([datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "updated_at": INSTANTS,
            "created_at": INSTANTS,
            "expires_at": INSTANTS,
            "deal_value": st.one_of(st.none(), st.sampled_from([Decimal("1"), Decimal("1.00"), Decimal("-7.5")])),
            "customer_name": st.one_of(st.none(), st.sampled_from(["", "Ä", "a", "株式会社", "b\n"])),
            "referral_id": st.text("aÄ/%_株", min_size=1, max_size=3),
        }
    ),
    max_size=14,
    unique_by=lambda row: row["referral_id"],
)


def expected(warehouse, sort, descending):
    way = "desc" if descending else "asc"
    column = COLUMN[sort]
    rows = warehouse.rows(
        f"select referral_id from partner_center_referrals order by {column} {way} nulls last, referral_id {way}"
    )
    return [row["referral_id"] for row in rows]


def walked(sort, descending, limit, by_offset):
    from partner_center.ui import inbox

    ids, after, offset = [], None, 0
    with reading() as reader:
        while True:
            page = inbox.page(reader, inbox.Filters(), sort, descending, limit, after, offset)
            assert page.offset == len(ids)
            ids += [row["referral_id"] for row in page.rows]
            if page.next_cursor is None:
                return ids
            after, offset = (None, len(ids)) if by_offset else (page.next_cursor, 0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, limit=st.integers(1, 6), sort=st.sampled_from(sorted(COLUMN)), descending=st.booleans())
def test_all_pages_together_are_the_whole_list(stored, rows, limit, sort, descending):
    stored.execute("truncate partner_center_referrals")
    store_all(stored, rows)
    whole = expected(stored, sort, descending)
    assert walked(sort, descending, limit, by_offset=False) == whole
    assert walked(sort, descending, limit, by_offset=True) == whole


def test_pages_as_json(vic, stored):
    store_all(stored, ({"customer_name": f"C{number:03}"} for number in range(130)))
    first = get(vic, "?sort=customer&limit=60").json()
    second = get(vic, f"?sort=customer&limit=60&after={first['next']}").json()
    third = get(vic, "?sort=customer&limit=60&offset=120").json()
    assert [(page["total"], page["more_than"], page["offset"]) for page in (first, second, third)] == [
        (130, None, 0),
        (130, None, 60),
        (130, None, 120),
    ]
    names = [row["customer_name"] for page in (first, second, third) for row in page["referrals"]]
    assert names == [f"C{number:03}" for number in range(130)]
    assert third["next"] is None
    assert get(vic, "?offset=2147483647").json() == {**third, "referrals": [], "limit": 50, "offset": 2147483647}


def test_nobody_counts_beyond_ten_thousand(vic, stored):
    store(stored, {"referral_id": "model"})
    stored.execute(
        "insert into partner_center_referrals select filled.* from partner_center_referrals as model "
        "cross join generate_series(1, 10000) as n cross join lateral jsonb_populate_record(model, "
        "jsonb_build_object('referral_id', n::text, 'status', case when n > 1 then 'New' else 'Closed' end)) as filled"
    )
    everything, exact = get(vic, "?limit=1").json(), get(vic, "?limit=1&status=new").json()
    assert (everything["total"], everything["more_than"]) == (None, 10_000)
    assert (exact["total"], exact["more_than"]) == (10_000, None)


@pytest.mark.parametrize(
    "after",
    ["garbage", "W10", "bnVsbA", "%00", "eyJhIjoxfQ", "W251bGwsIlx1ZDgwMCIsMF0", "WyIxZTk5OTk5OSIsICJhIiwgMV0", "😀"],
)
@pytest.mark.parametrize("sort", ["updated", "value", "customer"])
def test_a_cursor_that_somebody_made_up_is_no_error_of_ours(vic, after, sort):
    assert vic.get(f"{API}?sort={sort}&after={after}", headers=JSON).status_code in {200, 422}


@pytest.mark.parametrize(
    "query",
    [
        *("sort=password", "order=up", "limit=0", "limit=501", "offset=-1", "offset=2147483648", "referral_type=x"),
        *("link_status=x", "domain=x", "expiring=x", f"q={'x' * 301}"),
    ],
)
def test_what_is_none_of_the_choices_is_refused(vic, query):
    get(vic, f"?{query}", 422)


# Filters and search


def test_each_filter(stored):
    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (2, 9))
    store(
        stored,
        {"status": "NEW", "expires_at": soon, "domain": "a.example", "link_status": "linked"},
        {"status": "active", "expires_at": later, "customer_country": "fi", "referral_type": "marketplace"},
        {"status": "Closed", "expires_at": soon, "customer_country": "SE", "link_status": "multi_candidate"},
        {"status": "Active", "expires_at": soon, "missing_since": soon},
        {"status": None},
    )
    assert found() == ["id-1", "id-2", "id-3", "id-4", "id-5"]
    assert found(status="new") == ["id-1"]
    assert found(status="ACTIVE") == ["id-2", "id-4"]
    assert found(status="open") == ["id-1", "id-2"]
    assert found(expiring=True) == ["id-1"]
    assert found(referral_type="marketplace") == ["id-2"]
    assert found(link_status="multi_candidate") == ["id-3"]
    assert found(country="FI") == ["id-2"]
    assert (found(domain="yes"), found(domain="no")) == (["id-1"], ["id-2", "id-3", "id-4", "id-5"])
    assert found(status="closed", country="se", domain="no") == ["id-3"]
    assert found(status="'; drop table x --") == []


@pytest.mark.parametrize(
    ("name", "finding", "other"),
    [
        ("İSTANBUL IŞIK", ["istanbul", "ISTANBUL", "ışık", "isik", "İstanbul"], "ankara"),
        ("Groß & Söhne GmbH", ["GROSS", "groß", "sohne", "SÖHNE", "gmbh groß"], "klein"),
        ("ÜBERLINGEN", ["über", "UBER"], "unter"),
        ("株式会社ナデラ", ["株式会社", "ナデラ", "ﾅﾃﾞﾗ"], "有限会社"),
        ("100%_sicher \\ so", ["100%", "%_s", "\\", "_sicher"], "100_"),
        ("Ｆｕｌｌ width", ["full", "ＷＩＤＴＨ"], "half"),
        ("one two three four five six", ["six one", "three  two", "one two three four five absent"], "one seven"),
        ("x" * 400, ["x" * 100], "y" * 300),
        ("O'Brien; select", ["o'brien;"], "o''brien"),
    ],
)
def test_search(stored, name, finding, other):
    store(stored, {"customer_name": name}, {"name": f"Deal: {name}"}, {"customer_name": "somebody else"})
    assert {query: found(q=query) for query in finding} == {query: ["id-1", "id-2"] for query in finding}
    assert found(q=other) == []
    store(stored, {"referral_id": "by-domain", "domain": "nordwind.example"})
    assert found(q="nordwind.ex") == ["by-domain"]


@pytest.mark.parametrize("field", ["q", "status", "country"])
def test_what_postgresql_cannot_store_finds_nothing(vic, stored, field):
    store(stored, {})
    assert get(vic, f"?{field}=a%00b").json()["referrals"] == []
    assert get(vic, f"/export.csv?{field}=a%00b").content.count(b"\n") == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/inbox?q=%00", 200),
        ("/inbox?status=%00", 200),
        ("/inbox?referral_type=%00", 200),
        ("/referral?id=%00", 404),
        ("/domains?q=%00", 200),
        ("/domains/%00", 404),
        ("/runs/%00", 404),
        ("/runs/%00/progress", 404),
        ("/runs?after_started=2026-01-01T00:00:00Z&after_run=%00", 200),
        ("/skipped?q=%00&reason=%00&after=%00", 200),
        ("/api/v1/referrals/%00", 404),
    ],
)
def test_no_address_with_a_nul_breaks_a_page(vic, path, status):
    assert vic.get(ROOT + path).status_code == status


# What a referral is, and to whom


def test_one_referral_with_its_people_masked_but_for_editors(vic, client_of, stored, log_tee):
    raw = {"id": "a", "customerProfile": {"team": [AINO]}, "n": 7, "details": {"notes": "Call Aino"}}
    store(stored, {"referral_id": "a/b?c#d e/", "raw_data": raw, "deal_value": Decimal("12345678901234567.89")})
    path = f"/{quote('a/b?c#d e/', safe='')}"
    with log_tee.listening() as heard:
        shown = get(vic, path)
    assert [secret for secret in ("Aino", "Laine", "aino.laine") if secret in shown.text] == []
    assert "looked at" not in "".join(heard)
    with log_tee.listening() as heard:
        whole = get(client_of("olga", "OP"), path)
    assert whole.json()["raw_data"] == raw
    assert "olga looked at the contacts of the referral a/b?c#d e/." in "".join(heard)
    assert json.loads(whole.text, parse_float=Decimal)["deal_value"] == Decimal("12345678901234567.89")
    assert get(vic, "/nobody", 404).json()["detail"].startswith("There is no such referral.")
    get(vic, "/", 404)


def test_answers_are_as_they_are_described(vic, stored):
    from partner_center.ui.answers_inbox import Referral, ReferralList

    store(stored, {"deal_value": Decimal("1E+3"), "expires_at": "2026-12-01T00:00:00.5Z", "raw_data": {"n": 10**30}})
    listed, one = get(vic), get(vic, "/id-1")
    ReferralList.model_validate_json(listed.text)
    Referral.model_validate_json(one.text)
    assert listed.json()["referrals"][0]["expires_at"] == "2026-12-01T00:00:00.500000Z"
    assert json.loads(one.text)["raw_data"]["n"] == 10**30
    described = vic.get(f"{ROOT}/openapi.json").json()["paths"]
    assert {path for path in described if "referrals" in path} == {
        f"/api/v1/referrals{end}" for end in ("", "/export.csv", "/{referral_id}", "/sync")
    }


def test_a_number_that_no_float_holds_breaks_no_page(vic, stored):
    store(stored, {"referral_id": "big"})
    stored.execute("""update partner_center_referrals set raw_data = '{"n": 1e5000, "f": 0.1234567890123456789}'""")
    shown = get(vic, "/big").text
    assert "0.1234567890123456789" in shown
    assert vic.get(f"{ROOT}/referral?id=big").status_code == 200


# Export


def exported(answer):
    assert answer.content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


def test_the_export_has_all_rows_and_no_formula(vic, stored):
    hostile = ['=HYPERLINK("x")', "+1", "-1", "@x", "\tx", "\rx", 'say "hi", Ä\nnew line']
    store_all(
        stored,
        [
            *({"referral_id": f"h{number}", "customer_name": name} for number, name in enumerate(hostile)),
            *({"referral_id": f"n{number:04}", "status": "Active"} for number in range(2_500)),
            {"referral_id": "money", "deal_value": Decimal("-1234567890.50"), "currency": "EUR", "status": "Closed"},
        ],
    )
    answer = get(vic, "/export.csv")
    assert re.fullmatch(
        r'attachment; filename="partner-center-referrals-\d{4}-\d\d-\d\d\.csv"', answer.headers["content-disposition"]
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = {row["referral_id"]: row for row in exported(answer)}
    assert len(rows) == 2_508
    shown = [rows[f"h{number}"]["customer_name"] for number in range(7)]
    assert shown == [*(f"'{each}" for each in hostile[:6]), hostile[6]]
    assert (rows["money"]["deal_value"], rows["money"]["updated_at"]) == ("-1234567890.50", "2026-11-01T00:00:00Z")
    (closed,) = exported(get(vic, "/export.csv?status=closed"))
    assert closed["referral_id"] == "money"
    ordered = [row["referral_id"] for row in exported(get(vic, "/export.csv?q=hi&sort=customer&order=desc&status=new"))]
    assert ordered == ["h6"]


def test_a_warehouse_that_is_away_is_told_before_the_first_byte(vic, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", "postgresql://nobody@127.0.0.1:9/nothing")
    for path in ("/export.csv", "", "/id-1"):
        assert "The warehouse is unavailable" in get(vic, path, 503).json()["detail"]


# The columns and the index


def hostile_row():
    import random

    many = random.Random(1)
    text = "".join(chr(many.randrange(0x10000, 0x1F000)) for _ in range(5_000))
    return {
        "referral_id": "".join(chr(many.randrange(0x10000, 0x1F000)) for _ in range(255)),
        **dict.fromkeys(("status", "currency", "customer_country", "customer_name", "name"), text),
        "domain": "".join(many.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(253)),
        "deal_value": Decimal("1." + "".join(str(many.randrange(10)) for _ in range(59)) + "E+99"),
    }


@pytest.mark.parametrize("server", ["postgres18", "postgres15"])
def test_every_row_can_be_stored_and_shown(airflow_home, make_warehouse, request, client_of, variables, server):
    warehouse = migrated(make_warehouse(request.getfixturevalue(server)))
    store(warehouse, hostile_row(), {"customer_name": "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 5_000}, {})
    page = get(client_of("vic", "VIEWER"), "?sort=customer").json()
    assert page["total"] == 3
    assert found(q="ﷺ") == ["id-2"]
    assert get(client_of("vic", "VIEWER"), "?q=İzmir").json()["total"] == 0


def test_what_is_searched_follows_links_restores_and_earlier_states(stored):
    from tests.support.sync import Sync, referral

    def named(name, day):
        team = {"team": [{"email": "a@nordwind.example"}]}
        return referral(1, customerProfile={"name": name, **team}, updatedDateTime=f"2026-11-0{day}T00:00:00Z")

    def texts():
        (row,) = stored.rows("select search_text, has_domain from partner_center_referrals")
        return row["search_text"].split("\n")[:2], row["has_domain"]

    sync = Sync(stored)
    sync(named("Éarlier", 1))
    moment = stored.value("select clock_timestamp()")
    sync(named("Later", 2))
    assert texts() == (["later", "nordwind.example"], True)
    (as_it_was,) = stored.rows("select search_text from partner_center_referrals_as_of(%s)", (moment,))
    assert as_it_was["search_text"].startswith("earlier\n")
    stored.execute(
        "insert into partner_center_link_overrides (referral_id, domain, set_by) values ('id-1', null, 'ann')"
    )
    assert texts() == (["later", ""], False)
    stored.execute("delete from partner_center_link_overrides")
    assert texts() == (["later", "nordwind.example"], True)
    with stored.connect() as connection:
        connection.execute("select * from partner_center_restore(%s)", (moment,))
    assert texts() == (["earlier", "nordwind.example"], True)


def test_what_was_stored_before_the_revision_is_searched_too(airflow_home, warehouse):
    from alembic import command
    from alembic.config import Config

    from partner_center.warehouse import migrating

    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "include" / "migrations"))
    with migrating() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005_accounts")
    store(warehouse, {"customer_name": "Überlingen", "status": "Active"})
    for direction, target in (
        (command.upgrade, "head"),
        (command.downgrade, "0005_accounts"),
        (command.upgrade, "head"),
    ):
        with migrating() as connection:
            config.attributes["connection"] = connection
            direction(config, target)
    assert found(q="uberlingen", status="open") == ["id-1"]
