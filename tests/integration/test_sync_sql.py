"""The SQL of filter, load and verification on rows staged by hand, on the oldest and the newest PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.environment import ROOT
from tests.support.warehouse import Warehouse

SQL = ROOT / "include" / "sql" / "sync"
LOAD = (
    "load_10_find_changes.sql",
    "load_20_write_history.sql",
    "load_30_write_referrals.sql",
    "load_40_count.sql",
)
MICROSOFT, PARTNER = "msft", "6f9619ff-0000-4000-8000-00000000000c"


class Sync:
    """Runs the steps of one run after the other, without Airflow."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.runs = 0

    def __call__(self, *rows: dict[str, Any] | str, **params: Any) -> dict[str, Any]:
        """Stage rows (objects, or JSON text), run everything, return all counts."""
        from partner_center import warehouse
        from partner_center.domains import DomainExtractor
        from partner_center.staging import StagingWriter, write_domains

        self.runs += 1
        asked = {"direction": "Incoming", "statuses": '["New", "Active"]', "dry_run": "False", "mapping_version": 1}
        parameters = {**asked, **params, "run_id": f"run-{self.runs}"}
        texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        with warehouse.connect() as connection, StagingWriter(connection, parameters["run_id"]) as writer:
            writer.add(1, [text.encode() for text in texts])
        found = self.run(parameters, "filter_referrals.sql")
        with warehouse.connect() as connection:
            found |= write_domains(connection, parameters["run_id"], DomainExtractor().extract)
        found |= self.run(parameters, *LOAD)
        return found | self.run(parameters, "verify_counts.sql")

    def run(self, parameters: dict[str, Any], *files: str) -> dict[str, Any]:
        from partner_center import warehouse

        text = "\n".join((SQL / file).read_text() for file in files)
        with warehouse.connect() as connection:
            return warehouse.run_sql(connection, text, parameters)


@pytest.fixture(params=["postgres18", "postgres15"])
def sync(airflow_home: Any, make_warehouse: Callable[..., Warehouse], request: pytest.FixtureRequest) -> Sync:
    from partner_center.warehouse import ensure_schema

    made = Sync(make_warehouse(request.getfixturevalue(request.param)))
    ensure_schema(ROOT / "include" / "migrations", auto_migrate=True)
    return made


def referral(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": f"id-{number}",
        "status": "New",
        "direction": "Incoming",
        "updatedDateTime": "2026-11-01T00:00:00Z",
    } | more


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


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "second"),
        ("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z", "first"),
        ("2026-11-01T00:00:00.1234568Z", "2026-11-01T00:00:00.1234567Z", "first"),
        ("2026-11-01T00:00:00.1234567Z", "2026-11-01T00:00:00.1234568Z", "second"),
        ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "second"),
        ("2026-11-01T00:00:00Z", None, "first"),
        ("2026-11-01T02:00:00+02:00", "2026-11-01T01:00:00Z", "second"),
    ],
)
def test_of_the_same_id_twice_the_newest_wins(sync: Sync, first: str, second: str | None, wins: str) -> None:
    counts = sync(referral(updatedDateTime=first, name="first"), referral(updatedDateTime=second, name="second"))
    assert (counts["duplicates"], counts["persisted"]) == (1, 1)
    assert sync.warehouse.value("select name from partner_center_referrals") == wins


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


@pytest.mark.parametrize(
    ("kind", "qualification", "invited_by", "category"),
    [
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
        (None, None, None, "unclassified"),
        ("Strange", "SalesQualified", PARTNER, "unclassified"),
    ],
)
def test_the_category(
    sync: Sync, kind: str | None, qualification: str | None, invited_by: str | None, category: str
) -> None:
    invited = {"invitedBy": {"organizationId": invited_by}} if invited_by else None
    sync(referral(type=kind, qualification=qualification, inviteContext=invited))
    assert sync.warehouse.value("select referral_type from partner_center_referrals") == category


def test_blocks_of_the_wrong_kind_are_no_obstacle(sync: Sync) -> None:
    counts = sync(
        referral(1, customerProfile=None, details=None, inviteContext=None),
        referral(2, customerProfile=[], details="text", inviteContext=7),
        referral(3, customerProfile={"address": "text"}, details={"dealValue": {}, "currency": None}),
    )
    assert (counts["eligible"], counts["persisted"]) == (3, 3)
    assert sync.warehouse.value("select count(*) from partner_center_referrals where customer_name is null") == 3
