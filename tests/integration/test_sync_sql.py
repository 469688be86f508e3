"""The SQL of filter, load and verification on rows staged by hand, on the oldest and the newest PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.environment import ROOT
from tests.support.sync import LOAD, SQL, Sync, referral, request_of
from tests.support.warehouse import Warehouse

ALL_STAND = {"missing": 0, "missing_ids": [], "outdated": 0, "outdated_ids": []}
STAGED = {"staged": 1, "staged_eligible": 1, "staged_closed": 0}
MICROSOFT, PARTNER = "msft", "6f9619ff-0000-4000-8000-00000000000c"


@pytest.fixture(params=["postgres18", "postgres15"])
def sync(make_migrated: Callable[[Any], Warehouse], request: pytest.FixtureRequest) -> Sync:
    return Sync(make_migrated(request.getfixturevalue(request.param)))


def test_each_row_has_one_outcome(sync: Sync) -> None:
    sync(referral(1))
    counts = sync(
        referral(1, status="Closed"),
        referral(2, status="ACTIVE", direction="incoming"),
        referral(3, status="Closed"),
        referral(4, direction="Outgoing", status="Closed"),
        referral(5, direction=None),
        referral(6, status=None),
        referral(2, updatedDateTime="2026-10-01T00:00:00Z"),
    )
    assert (counts["eligible"], counts["closed"], counts["duplicates"]) == (1, 1, 1)
    assert counts["skipped"] == {"direction": 2, "status": 2}
    assert (counts["inserted"], counts["updated"], counts["persisted"], counts["missing"]) == (1, 1, 1, 0)
    statuses = sync.warehouse.rows("select referral_id, status from partner_center_referrals order by 1")
    assert [tuple(row.values()) for row in statuses] == [("id-1", "Closed"), ("id-2", "ACTIVE")]


def test_any_direction(sync: Sync) -> None:
    counts = sync(referral(1), referral(2, direction="Outgoing"), referral(3, direction=None), direction="any")
    assert (counts["eligible"], counts["persisted"]) == (3, 3)


TWICE = [
    ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "second"),
    ("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z", "first"),
    ("2026-11-01T00:00:00.1234568Z", "2026-11-01T00:00:00.1234567Z", "first"),
    ("2026-11-01T00:00:00.1234567Z", "2026-11-01T00:00:00.1234568Z", "second"),
    ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "second"),
    ("2026-11-01T00:00:00Z", None, "first"),
    ("2026-11-01T02:00:00+02:00", "2026-11-01T01:00:00Z", "second"),
]


def test_of_the_same_id_twice_the_newest_wins(sync: Sync) -> None:
    firsts = [referral(number, updatedDateTime=first, name="first") for number, (first, _, _) in enumerate(TWICE)]
    seconds = [referral(number, updatedDateTime=second, name="second") for number, (_, second, _) in enumerate(TWICE)]
    counts = sync(*firsts, *seconds)
    assert (counts["duplicates"], counts["persisted"]) == (len(TWICE), len(TWICE))
    found = sync.warehouse.rows("select referral_id, name from partner_center_referrals")
    assert {each["referral_id"]: each["name"] for each in found} == {
        f"id-{number}": wins for number, (_, _, wins) in enumerate(TWICE)
    }


def test_what_did_not_change_is_not_written(sync: Sync) -> None:
    row = referral(name="n", details={"dealValue": 1.50})
    sync(row)
    before = sync.warehouse.versions()
    spelled = '{"details": {"dealValue":1.50},"name":"n",   "updatedDateTime":"2026-11-01T00:00:00Z", '
    other = spelled + '"direction":"Incoming","status":"New","id":"id-1"}'
    for again in (row, other, row):
        counts = sync(again)
        assert (counts["inserted"], counts["updated"], counts["unchanged"], counts["persisted"]) == (0, 0, 1, 1)
    assert sync.warehouse.versions() == before


def test_older_content_replaces_no_newer(sync: Sync) -> None:
    sync(referral(name="new", updatedDateTime="2026-11-02T00:00:00Z"))
    counts = sync(referral(name="old"))
    assert (counts["updated"], counts["unchanged"], counts["persisted"]) == (0, 1, 1)
    assert sync.warehouse.value("select name from partner_center_referrals") == "new"


NO_TIME, NET_MAXIMUM, TICK = None, "9999-12-31T23:59:59.9999999Z", "2026-11-01T00:00:00.000000{}Z"
# updatedDateTime of what is stored, and of what a later run reads: may that replace it?
LATER_READ = [
    (TICK.format(1), TICK.format(2), True),
    (TICK.format(2), TICK.format(1), False),
    (TICK.format(1), TICK.format(1), True),
    ("2026-11-01T00:00:00Z", NO_TIME, True),
    (NO_TIME, "2026-11-01T00:00:00Z", True),
    (NO_TIME, NO_TIME, True),
    (NET_MAXIMUM, "2026-11-01T00:00:00Z", True),
    (NET_MAXIMUM, NET_MAXIMUM, True),
    ("2026-11-01T00:00:00Z", NET_MAXIMUM, True),
]


@pytest.mark.parametrize(("stored", "read", "replaces"), LATER_READ)
def test_the_newer_version_wins_and_where_the_times_cannot_tell_the_one_read_later(
    sync: Sync, stored: str | None, read: str | None, replaces: bool
) -> None:
    sync(referral(name="first", updatedDateTime=stored))
    counts = sync(referral(name="second", updatedDateTime=read))
    assert (counts["updated"], counts["unchanged"]) == ((1, 0) if replaces else (0, 1))
    assert (counts["persisted"], counts["missing"]) == (1, 0)
    standing = "select name from partner_center_referrals"
    assert sync.warehouse.value(standing) == ("second" if replaces else "first")
    # The first run once more, from what it staged: it was read earlier.
    before = sync.warehouse.versions()
    parameters = {"run_id": "run-1", "dry_run": "False", "mapping_version": 1, "filter_version": 1}
    sync.run(parameters, *LOAD)
    assert sync.warehouse.versions() == before
    assert sync.run(parameters, "verify_counts.sql")["missing"] == 0
    assert len(sync.warehouse.history()) == replaces


def test_a_run_that_reads_anew_is_newer_than_what_came_in_between(sync: Sync) -> None:
    sync(referral(name="first"))
    sync(referral(name="second"))
    counts = sync(referral(name="third"), run_id="run-1")
    # It is the run that inserted the row, and has now changed it.
    assert (counts["inserted"], counts["updated"], counts["persisted"]) == (1, 0, 1)
    assert sync.warehouse.value("select name from partner_center_referrals") == "third"


def test_of_two_runs_at_once_the_one_that_read_later_wins_whichever_loads_first(sync: Sync) -> None:
    sync(referral(name="read first"))
    sync(referral(name="read second"))
    sync.warehouse.execute("delete from partner_center_referrals")
    parameters = {"dry_run": "False", "mapping_version": 1, "filter_version": 1}
    sync.run({**parameters, "run_id": "run-1"}, *LOAD)
    counts = sync.run({**parameters, "run_id": "run-2"}, *LOAD)
    assert (counts["inserted"], counts["updated"]) == (0, 1)
    assert sync.warehouse.value("select name from partner_center_referrals") == "read second"
    assert sync.run({**parameters, "run_id": "run-1"}, *LOAD)["updated"] == 0
    assert sync.warehouse.value("select name from partner_center_referrals") == "read second"


def test_a_read_that_breaks_off_before_it_begins_makes_no_old_row_newer(sync: Sync) -> None:
    from partner_center import runs

    sync(referral(name="old"))
    sync(referral(name="new"))
    # The worker ends between the two: the run is open again, its staging is the old one.
    runs.open_run(request_of("run-1"))
    sync.run({"run_id": "run-1", "dry_run": "False", "mapping_version": 1, "filter_version": 1}, *LOAD)
    assert sync.warehouse.value("select name from partner_center_referrals") == "new"


def test_each_row_of_a_cleared_old_run_is_counted_once(sync: Sync) -> None:
    rows = [referral(number) for number in range(1, 7)]
    sync(*rows)
    newer = {"updatedDateTime": "2026-11-02T00:00:00Z"}
    sync(*(referral(number, name="new", **newer) for number in range(1, 4)))
    counts = sync.run({"run_id": "run-1", "dry_run": "False", "mapping_version": 1, "filter_version": 1}, *LOAD)
    assert (counts["inserted"], counts["updated"], counts["unchanged"]) == (6, 0, 0)
    counts = sync(*rows, referral(7), run_id="run-1")
    assert counts["inserted"] + counts["updated"] + counts["unchanged"] == 7


def test_another_verdict_of_the_same_run_is_written(sync: Sync) -> None:
    sync(referral(customerProfile={"team": [{"email": "a@contoso.com"}]}))
    sync.warehouse.execute("update partner_center_staged_domains set domain = null, link_status = 'unlinked'")
    parameters = {"run_id": "run-1", "dry_run": "False", "mapping_version": 1, "filter_version": 1}
    sync.run(parameters, *LOAD)
    assert sync.warehouse.value("select link_status from partner_center_referrals") == "unlinked"
    assert sync.run(parameters, "verify_counts.sql")["persisted"] == 1


def test_an_update_that_the_database_swallows_has_no_history_until_it_is_written(sync: Sync) -> None:
    sync(referral(name="one"))
    sync.warehouse.execute(
        "create function swallow() returns trigger language plpgsql as $$ begin return null; end $$; "
        "create trigger swallow before update on partner_center_referrals for each row execute function swallow()"
    )
    newer = referral(name="two", updatedDateTime="2026-11-02T00:00:00Z")
    for _ in range(2):
        counts = sync(newer)
        assert (counts["updated"], counts["persisted"], counts["missing_ids"]) == (0, 0, ["id-1"])
    assert sync.warehouse.history() == []
    sync.warehouse.execute("drop trigger swallow on partner_center_referrals")
    assert sync(newer)["persisted"] == 1
    assert sync.warehouse.history() == [("id-1", "name", "one", "two")]


def test_an_update_is_missed_also_where_the_stored_time_is_in_the_future(sync: Sync) -> None:
    sync(referral(name="one", updatedDateTime=NET_MAXIMUM))
    sync.warehouse.execute(
        "create function swallow() returns trigger language plpgsql as $$ begin return null; end $$; "
        "create trigger swallow before update on partner_center_referrals for each row execute function swallow()"
    )
    assert sync(referral(name="two"))["missing_ids"] == ["id-1"]


def test_one_that_closed_and_is_held_back_is_outdated(sync: Sync) -> None:
    sync(*(referral(number) for number in range(10, 40)))
    sync.warehouse.execute(
        "create function swallow() returns trigger language plpgsql as $$ begin return null; end $$; "
        "create trigger swallow before update on partner_center_referrals for each row execute function swallow()"
    )
    closed = [referral(number, status=("Closed", 7)[number % 2]) for number in range(10, 35)]
    counts = sync(*closed, referral(36))
    assert (counts["closed"], counts["persisted"], counts["missing"], counts["outdated"]) == (25, 1, 0, 25)
    assert counts["outdated_ids"] == [f"id-{number}" for number in range(10, 30)]
    sync.warehouse.execute("drop trigger swallow on partner_center_referrals")
    counts = sync(*closed)
    assert (counts["updated"], counts["outdated"], counts["persisted"]) == (25, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        "status = 'Closed'",
        "status = null",
        "deal_value = 6",
        "deal_value = null",
        "domain = null",
        "domain_candidates = '[]'",
        "link_status = 'unlinked'",
        "updated_at = null",
        "updated_at = updated_at - interval '1 day'",
    ],
)
def test_what_was_changed_in_the_table_is_set_right_by_the_next_run(sync: Sync, change: str) -> None:
    row = referral(customerProfile={"team": [{"email": "a@contoso.com"}]}, details={"dealValue": 5})
    sync(row)
    right = sync.warehouse.referrals()
    sync.warehouse.execute(f"update partner_center_referrals set {change}")
    assert sync.warehouse.referrals() != right
    counts = sync(row)
    assert (counts["updated"], counts["persisted"]) == (1, 1)
    assert sync.warehouse.referrals() == right
    assert sync(row)["unchanged"] == 1


def test_history_tells_what_the_database_made_of_it(sync: Sync) -> None:
    sync(referral(name="one"))
    sync.warehouse.execute(
        "create function shout() returns trigger language plpgsql as $$ begin new.name := upper(new.name); "
        "return new; end $$; "
        "create trigger shout before update on partner_center_referrals for each row execute function shout()"
    )
    sync(referral(name="two", updatedDateTime="2026-11-02T00:00:00Z"))
    assert sync.warehouse.history() == [("id-1", "name", "one", "TWO")]


def test_a_change_has_its_history_and_its_run(sync: Sync) -> None:
    sync(referral(details={"dealValue": 100, "currency": "EUR"}))
    sync(referral(status="Active", details={"dealValue": 250.5, "currency": "EUR"}))
    assert sync.warehouse.history() == [
        ("id-1", "deal_value", "100", "250.5"),
        ("id-1", "status", "New", "Active"),
    ]
    (row,) = sync.warehouse.rows("select first_run_id, last_run_id from partner_center_referrals")
    assert row == {"first_run_id": "run-1", "last_run_id": "run-2"}


def test_a_dry_run_tells_and_writes_nothing(sync: Sync) -> None:
    sync(referral(1), referral(2))
    before = sync.warehouse.versions()
    counts = sync(referral(1), referral(2, status="Active"), referral(3), dry_run="True")
    told = (counts["inserted"], counts["updated"], counts["unchanged"], counts["persisted"], counts["missing"])
    assert told == (1, 1, 1, 3, 0)
    assert sync.warehouse.versions() == before
    assert sync.warehouse.history() == []


def test_another_mapping_version_writes_every_row_anew(sync: Sync) -> None:
    sync(referral(1), referral(2))
    counts = sync(referral(1), referral(2), mapping_version=2)
    assert (counts["updated"], counts["persisted"]) == (2, 2)
    assert sync.warehouse.history() == []


def test_a_domain_that_is_found_later_is_written(sync: Sync) -> None:
    sync(referral(customerProfile={"team": [{"email": "a@gmail.com"}]}))
    sync.warehouse.execute("update partner_center_referrals set domain_missing_reason = 'no_email'")
    counts = sync(referral(customerProfile={"team": [{"email": "a@gmail.com"}]}))
    assert counts["updated"] == 1
    assert sync.warehouse.value("select domain_missing_reason from partner_center_referrals") == "consumer_only"


CATEGORIES = [
    ("Independent", "Direct", MICROSOFT, "marketplace"),
    ("Independent", "Direct", None, "marketplace"),
    ("Independent", "Direct", PARTNER, "unclassified"),
    ("Shared", "Direct", MICROSOFT, "unclassified"),
    ("Independent", "SalesQualified", MICROSOFT, "qualified-lead"),
    ("Independent", "MarketingQualified", MICROSOFT, "qualified-lead"),
    ("Shared", "SalesQualified", MICROSOFT, "unclassified"),
    ("Independent", "MarketingQualified", PARTNER, "unclassified"),
    ("Independent", "SalesQualified", PARTNER, "co-sell"),
    ("Independent", "None", PARTNER, "co-sell"),
    ("Shared", "SalesQualified", PARTNER, "co-sell"),
    ("Shared", "None", PARTNER, "co-sell"),
    ("Shared", "None", None, "unclassified"),
    ("Shared", "None", "", "unclassified"),
    ("Independent", "Direct", "", "marketplace"),
    (None, None, None, "unclassified"),
    ("Strange", "SalesQualified", PARTNER, "unclassified"),
]


def test_the_category(sync: Sync) -> None:
    def row(number: int, kind: str | None, qualification: str | None, invited_by: str | None) -> dict[str, Any]:
        invited = None if invited_by is None else {"invitedBy": {"organizationId": invited_by}}
        return referral(number, type=kind, qualification=qualification, inviteContext=invited)

    sync(*(row(number, *case[:3]) for number, case in enumerate(CATEGORIES)))
    found = sync.warehouse.rows("select referral_id, referral_type from partner_center_referrals")
    assert {each["referral_id"]: each["referral_type"] for each in found} == {
        f"id-{number}": category for number, (_, _, _, category) in enumerate(CATEGORIES)
    }


def test_blocks_of_the_wrong_kind_are_no_obstacle(sync: Sync) -> None:
    counts = sync(
        referral(1, customerProfile=None, details=None, inviteContext=None),
        referral(2, customerProfile=[], details="text", inviteContext=7),
        referral(3, customerProfile={"address": "text"}, details={"dealValue": {}, "currency": None}),
    )
    assert (counts["eligible"], counts["persisted"]) == (3, 3)
    assert sync.warehouse.value("select count(*) from partner_center_referrals where customer_name is null") == 3


def test_a_second_try_of_the_load_counts_the_same_and_writes_nothing(sync: Sync) -> None:
    sync(referral(1), referral(2), referral(3))
    newer = {"updatedDateTime": "2026-11-02T00:00:00Z"}
    counts = sync(referral(1), referral(2, status="Closed", **newer), referral(3, name="new", **newer), referral(4))
    told = {name: counts[name] for name in ("inserted", "updated", "unchanged")}
    assert told == {"inserted": 1, "updated": 2, "unchanged": 1}
    before, history = sync.warehouse.versions(), sync.warehouse.history()
    parameters = {"run_id": "run-2", "dry_run": "False", "mapping_version": 1, "filter_version": 1}
    for _ in range(2):
        assert sync.run(parameters, *LOAD).items() >= told.items()
        assert sync.run(parameters, "verify_counts.sql") == ALL_STAND | STAGED | {
            "persisted": 3,
            "staged": 4,
            "staged_eligible": 3,
            "staged_closed": 1,
        }
    assert (sync.warehouse.versions(), sync.warehouse.history()) == (before, history)


def test_an_old_run_that_is_loaded_again_takes_nothing_back(sync: Sync) -> None:
    sync(referral(1, name="old"), referral(2))
    sync(referral(1, name="new", updatedDateTime="2026-11-02T00:00:00Z"), referral(2))
    before = sync.warehouse.versions()
    parameters = {"run_id": "run-1", "dry_run": "False", "mapping_version": 1, "filter_version": 1}
    sync.run(parameters, *LOAD)
    assert sync.warehouse.versions() == before
    assert sync.run(parameters, "verify_counts.sql")["persisted"] == 2


def test_rows_that_the_database_swallows_are_counted_and_the_first_twenty_named(sync: Sync) -> None:
    sync.warehouse.execute(
        "create function swallow() returns trigger language plpgsql as "
        "$$ begin return case when new.referral_id < 'id-150' then new end; end $$; "
        "create trigger swallow before insert on partner_center_referrals for each row execute function swallow()"
    )
    rows = [referral(number) for number in range(100, 175)]
    counts = sync(*rows)
    assert (counts["eligible"], counts["inserted"], counts["persisted"], counts["missing"]) == (75, 50, 50, 25)
    assert counts["missing_ids"] == [f"id-{number}" for number in range(150, 170)]
    sync.warehouse.execute("drop trigger swallow on partner_center_referrals")
    counts = sync(*rows)
    assert (counts["inserted"], counts["unchanged"], counts["persisted"], counts["missing"]) == (25, 50, 75, 0)


SPOILS = [
    "update partner_center_referrals set name = 'other'",
    "update partner_center_referrals set customer_name = 'other'",
    "update partner_center_referrals set currency = 'XXX'",
    "update partner_center_referrals set raw_data = '{}'",
    "update partner_center_referrals set expires_at = now()",
    "update partner_center_referrals set status = null",
    "update partner_center_referrals set status = 'Lost'",
    "update partner_center_referrals set deal_value = 7",
    "update partner_center_referrals set domain = 'other.example'",
    "update partner_center_referrals set updated_at = updated_at - interval '1 day'",
    "update partner_center_referrals set content_hash = '\\x00'",
    "update partner_center_referrals set link_status = 'linked'",
    "delete from partner_center_referrals",
    "delete from partner_center_referrals; delete from partner_center_staged_domains",
]


def test_what_stands_otherwise_than_it_was_read_is_missing(sync: Sync) -> None:
    parameters = {"run_id": "run-1", "dry_run": "False"}
    sync(referral())
    with sync.warehouse.connect() as connection:
        for spoil in SPOILS:
            with connection.transaction(force_rollback=True):
                connection.execute(spoil)
                verify = (SQL / "verify_counts.sql").read_text()
                found = connection.execute(verify, parameters).fetchone()
            assert found == ALL_STAND | STAGED | {"persisted": 0, "missing": 1, "missing_ids": ["id-1"]}, spoil
    assert sync.run(parameters, "verify_counts.sql")["persisted"] == 1


def test_every_tracked_field_has_its_history(sync: Sync) -> None:
    def version(word: str, day: int, value: float) -> dict[str, Any]:
        profile = {"name": f"Customer {word}", "team": [{"email": f"x@{word}.com"}]}
        deal = {"dealValue": value, "currency": word, "closingDateTime": f"2027-01-{day:02d}T00:00:00Z"}
        return referral(
            name=word,
            substatus=word,
            qualification=word,
            customerProfile=profile,
            details=deal,
            status={"one": "New", "two": "Active"}[word],
            expirationDateTime=f"2026-12-{day:02d}T00:00:00Z",
            updatedDateTime=f"2026-11-{day:02d}T00:00:00Z",
            untracked=word,
        )

    sync(version("one", 1, 1.50))
    assert sync.warehouse.history() == []
    sync(version("two", 2, 2))
    assert sync.warehouse.history() == [
        ("id-1", "closing_at", "2027-01-01T00:00:00+00:00", "2027-01-02T00:00:00+00:00"),
        ("id-1", "currency", "one", "two"),
        ("id-1", "customer_name", "Customer one", "Customer two"),
        ("id-1", "deal_value", "1.5", "2"),
        ("id-1", "domain", "one.com", "two.com"),
        ("id-1", "expires_at", "2026-12-01T00:00:00+00:00", "2026-12-02T00:00:00+00:00"),
        ("id-1", "name", "one", "two"),
        ("id-1", "qualification", "one", "two"),
        ("id-1", "status", "New", "Active"),
        ("id-1", "substatus", "one", "two"),
    ]
    assert {row["run_id"] for row in sync.warehouse.rows("select run_id from partner_center_referral_history")} == {
        "run-2"
    }


def test_a_field_that_is_not_tracked_is_written_without_history(sync: Sync) -> None:
    sync(referral(engagementId="one"))
    counts = sync(referral(engagementId="two"))
    assert counts["updated"] == 1
    assert sync.warehouse.history() == []
    assert sync.warehouse.value("select engagement_id from partner_center_referrals") == "two"


def test_a_value_that_goes_away_is_history_too(sync: Sync) -> None:
    sync(referral(name="x", details={"dealValue": 5}))
    sync(referral(name=None, details=None))
    assert sync.warehouse.history() == [("id-1", "deal_value", "5", None), ("id-1", "name", "x", None)]


def test_every_column_comes_from_its_place(sync: Sync) -> None:
    sync(
        referral(
            engagementId="e",
            externalReferenceId="x",
            name="n",
            substatus="Pending",
            type="Shared",
            qualification="SalesQualified",
            inviteContext={"invitedBy": {"organizationId": PARTNER}},
            customerProfile={"name": "c", "address": {"country": "FI"}, "team": [{"email": "a@b.contoso.com"}]},
            details={"dealValue": 12.50, "currency": "EUR", "closingDateTime": "2027-01-31T00:00:00Z"},
            createdDateTime="2026-10-01T00:00:00.1234567Z",
            expirationDateTime="2026-12-01T01:00:00+01:00",
        )
    )
    (row,) = sync.warehouse.rows("select * from partner_center_referrals")
    assert row.pop("raw_data")["details"]["currency"] == "EUR"
    assert len(row.pop("content_hash")) == 16
    assert row["read_at"] < row["synced_at"] == row["first_synced_at"]
    del row["read_at"], row["synced_at"], row["first_synced_at"]
    assert row.pop("missing_since") is None
    assert row.pop("updated_tick") == 0
    assert {name: str(value) for name, value in row.items()} == {
        "source_conn_id": "partner_center_default",
        "search_text": "c\ncontoso.com\nn",
        "folded_status": "new",
        "folded_country": "fi",
        "facets": "new|co-sell|linked|domain|here|eur",
        "has_domain": "True",
        "referral_id": "id-1",
        "engagement_id": "e",
        "external_reference_id": "x",
        "name": "n",
        "status": "New",
        "substatus": "Pending",
        "type": "Shared",
        "referral_type": "co-sell",
        "qualification": "SalesQualified",
        "direction": "Incoming",
        "customer_name": "c",
        "customer_country": "FI",
        "domain": "contoso.com",
        "domain_source": "email",
        "domain_missing_reason": "None",
        "domain_candidates": "[{'domain': 'contoso.com', 'source': 'email'}]",
        "link_status": "linked",
        "deal_value": "12.5",
        "currency": "EUR",
        "created_at": "2026-10-01 00:00:00.123456+00:00",
        "updated_at": "2026-11-01 00:00:00+00:00",
        "expires_at": "2026-12-01 00:00:00+00:00",
        "closing_at": "2027-01-31 00:00:00+00:00",
        "mapping_version": "1",
        "first_run_id": "run-1",
        "last_run_id": "run-1",
    }


@pytest.mark.parametrize(
    ("direction", "statuses", "stored"),
    [
        ("incoming", '["new"]', ["id-1"]),
        ("INCOMING", '["NEW", "paused"]', ["id-1", "id-4"]),
        ("Incoming", '["New", "Active"]', ["id-1", "id-2"]),
        ("Outgoing", '["New", "Active"]', ["id-3"]),
        ("Any", '["New", "Active"]', ["id-1", "id-2", "id-3"]),
        ("any", '["Closed"]', []),
        ("Incoming", "[]", []),
    ],
)
def test_direction_and_statuses_are_as_asked_in_any_case(
    sync: Sync, direction: str, statuses: str, stored: list[str]
) -> None:
    counts = sync(
        referral(1),
        referral(2, status="active"),
        referral(3, direction="OUTGOING"),
        referral(4, status="Paused"),
        direction=direction,
        statuses=statuses,
    )
    found = sync.warehouse.rows("select referral_id from partner_center_referrals order by 1")
    assert [row["referral_id"] for row in found] == stored
    assert counts["eligible"] + sum(counts["skipped"].values()) == 4


TURKISH = "locale_provider icu icu_locale 'tr-TR'"


@pytest.fixture
def turkish_sync(airflow_home: Any, make_warehouse: Callable[..., Warehouse], postgres15: Any) -> Sync:
    """PostgreSQL 15, since the one in the wheel has no ICU."""
    from partner_center.warehouse import ensure_schema

    made = Sync(make_warehouse(postgres15, TURKISH))
    assert made.warehouse.value("select lower('INCOMING')") == "\u0131ncom\u0131ng"
    ensure_schema(ROOT / "include" / "migrations", auto_migrate=True)
    return made


def test_any_case_in_a_database_whose_letters_have_other_cases(turkish_sync: Sync) -> None:
    counts = turkish_sync(
        referral(1, direction="INCOMING", status="ACTIVE"),
        referral(2, direction="incoming", status="active"),
        referral(3, direction="Incoming", status="Active"),
        referral(4, direction="OUTGOING", status="ACTIVE"),
        statuses='["Active"]',
    )
    assert (counts["eligible"], counts["persisted"], counts["skipped"]) == (3, 3, {"direction": 1})


def test_a_run_without_rows_counts_nothing(sync: Sync) -> None:
    sync(referral())
    before = sync.warehouse.versions()
    counts = sync()
    assert counts.pop("skipped") == {}
    assert counts.pop("missing_ids") == counts.pop("outdated_ids") == []
    assert set(counts.values()) == {0}
    assert sync.warehouse.versions() == before


def test_three_of_the_same_id_are_two_duplicates(sync: Sync) -> None:
    counts = sync(referral(), referral(), referral(), referral(2), referral(2))
    assert (counts["duplicates"], counts["eligible"], counts["inserted"], counts["persisted"]) == (3, 2, 2, 2)


def test_a_newest_row_that_left_decides_over_an_older_one_that_fits(sync: Sync) -> None:
    rows = (referral(status="Closed", updatedDateTime="2026-11-02T00:00:00Z"), referral())
    counts = sync(*rows)
    assert (counts["duplicates"], counts["eligible"], counts["skipped"]) == (1, 0, {"status": 1})
    assert sync.warehouse.referrals() == {}


def test_runs_do_not_see_each_others_rows(sync: Sync) -> None:
    sync(referral(1), referral(2))
    counts = sync(referral(3))
    assert (counts["eligible"], counts["inserted"], counts["persisted"]) == (1, 1, 1)
    assert sync.run({"run_id": "run-1", "dry_run": "False"}, "verify_counts.sql")["persisted"] == 2


def test_a_dry_run_into_an_empty_table_leaves_it_empty(sync: Sync) -> None:
    counts = sync(referral(1), referral(2, status="Closed"), dry_run="True")
    assert (counts["inserted"], counts["updated"], counts["persisted"], counts["missing"]) == (1, 0, 1, 0)
    assert sync.warehouse.referrals() == {}
