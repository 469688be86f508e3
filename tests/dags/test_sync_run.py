"""What a run does with referrals: counts, rows, history, params."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.runs import Runner
from tests.support.warehouse import Warehouse

COUNTED_ONCE = ("duplicates", "quarantined", "eligible", "closed")
# Category by type, qualification and who invited; see the three rules of the API's introduction.
MICROSOFT = "msft"


FULL = {"mode": "full"}


def assert_adds_up(counts: dict[str, Any]) -> None:
    assert counts["fetched"] == sum(counts[name] for name in COUNTED_ONCE) + sum(counts["skipped"].values())
    assert counts["eligible"] == counts["with_domain"] + counts["without_domain"]
    assert counts["persisted"] == counts["eligible"]


def open_rows(simulator: Any) -> list[dict[str, Any]]:
    """The data set's eligible referrals, as the API has them."""
    rows = [row.value() for row in simulator.control._state.store.rows]
    return [row for row in rows if row["status"] in ("New", "Active") and row["direction"] == "Incoming"]


def an_open_one(simulator: Any, number: int = 0) -> dict[str, Any]:
    return open_rows(simulator)[number]


def referral_type(row: dict[str, Any]) -> str:
    invited_by = ((row["inviteContext"] or {}).get("invitedBy") or {}).get("organizationId")
    if row["type"] == "Independent" and row["qualification"] == "Direct" and invited_by in (MICROSOFT, None):
        return "marketplace"
    if row["type"] == "Independent" and row["qualification"] != "None" and invited_by == MICROSOFT:
        return "qualified-lead"
    if row["qualification"] in ("SalesQualified", "None") and invited_by not in (MICROSOFT, None):
        return "co-sell"
    return "unclassified"


def moment(text: str | None) -> datetime | None:
    """Read a time of the API; the seventh digit of the fraction does not fit into a timestamptz."""
    if text is None:
        return None
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}+00:00")


def test_the_disaster_in_numbers(run_sync: Runner, warehouse: Warehouse) -> None:
    run = run_sync()
    assert run.state == "success"
    assert set(run.task_states.values()) == {"success"}
    assert run.counts == {
        "mode": "full",
        "fetched": 250,
        "duplicates": 0,
        "quarantined": 0,
        "eligible": 88,
        "skipped": {"status": 162},
        "closed": 0,
        "with_domain": 38,
        "without_domain": 50,
        "inserted": 88,
        "updated": 0,
        "unchanged": 0,
        "persisted": 88,
    }
    assert warehouse.value("SELECT COUNT(*) FROM partner_center_referrals;") == 88
    assert warehouse.value("select count(*) from partner_center_referrals where domain is null") == 50


def test_a_second_run_touches_no_row(run_sync: Runner, warehouse: Warehouse) -> None:
    first = run_sync()
    before = warehouse.versions()
    second = run_sync(FULL)
    counts = second.counts
    assert (counts["inserted"], counts["updated"], counts["unchanged"]) == (0, 0, 88)
    assert counts["persisted"] == 88
    assert warehouse.versions() == before
    assert len(before) == 88
    assert warehouse.rows("select distinct last_run_id from partner_center_referrals") == [
        {"last_run_id": first.run_id}
    ]
    assert warehouse.history() == []


def test_xcom_holds_counts_only_and_the_table_of_runs_the_same(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    simulator.control.clear_requests()
    run = run_sync()
    assert set(run.xcoms) == {*run.task_states, "close_run"}
    assert run.xcoms.pop("close_run") == "success"
    for task_id, value in run.xcoms.items():
        assert len(json.dumps(value)) < 500, task_id
        flat = [*value.values(), *value.get("skipped", {}).values()]
        assert all(isinstance(each, int | str | dict) and len(str(each)) < 60 for each in flat), task_id
    row = warehouse.run(run.run_id)
    assert (row["state"], row["reason"], row["mode"]) == ("success", None, "full")
    assert row["started_at"] < row["finished_at"]
    assert row["pages"] == 2
    assert {name: row[name] for name in run.counts} == run.counts
    # $filter, $orderby and $top really travel, on the first request; then next links.
    first, second = [line["query"] for line in simulator.control.requests() if line["path"].endswith("/referrals")]
    assert all(option in first.replace("%24", "$") for option in ("$filter=", "$orderby=", "$top="))
    assert "skiptoken" in second


def test_the_columns_of_a_row(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    run = run_sync()
    stored = {row["referral_id"]: row for row in warehouse.rows("select * from partner_center_referrals")}
    api = {row["id"]: row for row in open_rows(simulator)}
    assert stored.keys() == api.keys()
    for referral_id, row in api.items():
        found = stored[referral_id]
        value = row["details"]["dealValue"]
        expected = {
            "engagement_id": row["engagementId"],
            "external_reference_id": row["externalReferenceId"],
            "name": row["name"],
            "status": row["status"],
            "substatus": row["substatus"],
            "type": row["type"],
            "referral_type": referral_type(row),
            "qualification": row["qualification"],
            "direction": row["direction"],
            "customer_name": row["customerProfile"]["name"],
            "customer_country": row["customerProfile"]["address"]["country"],
            "deal_value": None if value is None else Decimal(str(value)),
            "currency": row["details"]["currency"],
            "created_at": moment(row["createdDateTime"]),
            "updated_at": moment(row["updatedDateTime"]),
            "expires_at": moment(row["expirationDateTime"]),
            "raw_data": row,
            "last_run_id": run.run_id,
        }
        assert {name: found[name] for name in expected} == expected
        assert found["synced_at"] is not None
        assert (found["domain"] is None) == (found["link_status"] == "unlinked") == (found["domain_source"] is None)
        assert found["domain"] is None or (found["domain"].isascii() and found["domain"] == found["domain"].lower())
    assert {row["referral_type"] for row in stored.values()} == {
        "co-sell",
        "marketplace",
        "qualified-lead",
        "unclassified",
    }
    links = Counter(row["link_status"] for row in stored.values())
    assert set(links) == {"linked", "unlinked", "multi_candidate"}
    assert links["unlinked"] == 50


# --- every awkward shape ---------------------------------------------------------------------------------------------


def shape_problems(warehouse: Warehouse, cases: dict[str, Any]) -> dict[str, list[str]]:  # noqa: C901 - a branch for each way to end
    """Say which shapes did not end as they have to."""
    stored = {row["referral_id"]: row for row in warehouse.rows("select * from partner_center_referrals")}
    quarantined = Counter(row["raw"] for row in warehouse.rows("select raw from partner_center_quarantine"))
    found: dict[str, list[str]] = {}
    for name, case in cases.items():
        ids = {str(json.loads(text).get("id")) for text in case.rows if text.startswith("{")}
        rows = [stored[each] for each in ids if each in stored]
        in_quarantine = sum(quarantined[text] for text in set(case.rows))
        problems = []
        if case.expected == "skipped" and (rows or in_quarantine):
            problems.append("is stored or quarantined, not skipped")
        if case.expected != "skipped" and not rows and not in_quarantine:
            problems.append("is lost")
        if not case.either and case.expected == "stored" and not rows:
            problems.append("is not stored")
        if not case.either and case.expected == "quarantined" and not in_quarantine:
            problems.append("is not quarantined")
        for row in rows:
            if row["domain"] != case.domain and not (case.either and case.expected == "quarantined"):
                problems.append(f"has the domain {row['domain']}, not {case.domain}")
            if case.domain and len(row["domain_candidates"]) != case.candidates:
                problems.append(f"has the candidates {row['domain_candidates']}")
            if case.winner and row["name"] != case.winner:
                problems.append(f"the {row['name']} one won")
        if problems:
            found[name] = problems
    return found


def not_as_sent(warehouse: Warehouse, cases: dict[str, Any]) -> list[str]:
    """Say which stored rows hold another JSON than the API sent."""
    query = "select raw_data = %s::jsonb as same from partner_center_referrals where referral_id = %s"
    different = []
    with warehouse.connect() as connection:
        stored = {row["referral_id"] for row in connection.execute("select referral_id from partner_center_referrals")}
        for name, case in cases.items():
            referral_id = str(json.loads(case.rows[0]).get("id")) if case.rows[0].startswith("{") else None
            if len(case.rows) == 1 and referral_id in stored:
                row = connection.execute(query, (case.rows[0], referral_id)).fetchone()
                if not row or not row["same"]:
                    different.append(name)
    return different


def test_every_awkward_shape_ends_as_it_has_to(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    from simulator.data import AWKWARD

    simulator.control.seed("awkward")
    run = run_sync()
    assert run.state == "success", run.log[-4000:]
    assert shape_problems(warehouse, AWKWARD) == {}
    counts = run.counts
    assert_adds_up(counts)
    # The filter of the request keeps `outgoing` away.
    assert counts["fetched"] == sum(len(case.rows) for name, case in AWKWARD.items() if name != "outgoing")
    assert counts["duplicates"] == sum(case.duplicates for case in AWKWARD.values())
    assert counts["quarantined"] == warehouse.value("select count(*) from partner_center_quarantine")
    assert counts["quarantined"] >= sum(
        len(case.rows) for case in AWKWARD.values() if case.expected == "quarantined" and not case.either
    )
    assert warehouse.value("select count(*) from partner_center_quarantine where reason = ''") == 0
    assert not_as_sent(warehouse, AWKWARD) == []
    # Once more: nothing is new, nothing has changed.
    before = warehouse.versions()
    again = run_sync(FULL).counts
    assert (again["inserted"], again["updated"], again["unchanged"]) == (0, 0, counts["inserted"])
    assert_adds_up(again)
    assert warehouse.versions() == before


# --- what changes between two runs -----------------------------------------------------------------------------------


def test_the_same_id_twice_newest_wins(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    base = an_open_one(simulator)
    older = base | {"name": "older", "updatedDateTime": "2026-11-01T10:00:00.1234567Z"}
    newer = base | {"name": "newer", "updatedDateTime": "2026-11-01T10:00:00.1234568Z"}
    others = [{**row, "id": f"other {number}"} for number, row in enumerate(open_rows(simulator)[1:60])]
    simulator.control.seed_raw([json.dumps(row) for row in (newer, *others, older)])
    simulator.control.settings(max_page_size=20)
    run = run_sync()
    assert run.counts["duplicates"] == 1
    assert run.counts["eligible"] == 60
    assert_adds_up(run.counts)
    assert warehouse.value("select name from partner_center_referrals where referral_id = %s", (base["id"],)) == "newer"


def test_a_referral_that_closes_is_updated_and_counted_as_closed(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    row = an_open_one(simulator)
    run_sync()
    before = warehouse.versions()
    simulator.control.patch(row["id"], {"status": "Closed", "substatus": "Won"})
    run = run_sync(FULL)
    counts = run.counts
    assert (counts["closed"], counts["eligible"], counts["updated"], counts["inserted"]) == (1, 87, 1, 0)
    assert counts["skipped"] == {"status": 162}
    assert_adds_up(counts)
    (stored,) = warehouse.rows("select * from partner_center_referrals where referral_id = %s", (row["id"],))
    assert (stored["status"], stored["substatus"], stored["last_run_id"]) == ("Closed", "Won", run.run_id)
    history = warehouse.rows("select * from partner_center_referral_history order by field")
    assert [(h["referral_id"], h["run_id"], h["field"], h["old_value"], h["new_value"]) for h in history] == [
        (row["id"], run.run_id, "status", row["status"], "Closed"),
        (row["id"], run.run_id, "substatus", row["substatus"], "Won"),
    ]
    assert all(h["changed_at"] is not None for h in history)
    after = warehouse.versions()
    assert {key for key in after if after[key] != before[key]} == {row["id"]}
    # It stays closed, and is not written again.
    counts = run_sync(FULL).counts
    assert (counts["closed"], counts["updated"], counts["unchanged"]) == (1, 0, 88)
    assert warehouse.versions() == after
    assert len(warehouse.history()) == 2


def test_a_change_is_written_with_its_history(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    row = an_open_one(simulator)
    run_sync()
    details = row["details"] | {"dealValue": 777_000.25, "currency": "CHF"}
    simulator.control.patch(row["id"], {"name": "Renamed", "details": details})
    counts = run_sync(FULL).counts
    assert (counts["inserted"], counts["updated"], counts["unchanged"]) == (0, 1, 87)
    assert {(field, new) for _, field, _, new in warehouse.history()} == {
        ("name", "Renamed"),
        ("deal_value", "777000.25"),
        ("currency", "CHF"),
    }


def test_another_order_of_keys_is_no_change(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(list(value))}
        return [turned(each) for each in value] if isinstance(value, list) else value

    rows = open_rows(simulator)
    run_sync()
    before = warehouse.versions()
    simulator.control.seed_raw([json.dumps(turned(row), indent=1) for row in rows])
    counts = run_sync(FULL).counts
    assert (counts["inserted"], counts["updated"], counts["unchanged"]) == (0, 0, 88)
    assert counts["persisted"] == 88
    assert warehouse.versions() == before


def test_older_content_never_overwrites_newer(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    row = an_open_one(simulator)
    run_sync()
    simulator.control.patch(row["id"], {"name": "newest"})
    run_sync(FULL)
    before = warehouse.versions()
    simulator.control.upsert(row | {"name": "a stale replica's"})
    run = run_sync(FULL)
    assert run.state == "success"
    counts = run.counts
    assert (counts["updated"], counts["unchanged"], counts["persisted"]) == (0, 88, 88)
    assert warehouse.versions() == before
    name = warehouse.value("select name from partner_center_referrals where referral_id = %s", (row["id"],))
    assert name == "newest"


def test_older_by_a_tick_of_100_ns_never_overwrites_newer(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    row = an_open_one(simulator)
    simulator.control.upsert(row | {"name": "newest", "updatedDateTime": "2026-11-20T10:00:00.0000002Z"})
    run_sync()
    simulator.control.upsert(row | {"name": "stale", "updatedDateTime": "2026-11-20T10:00:00.0000001Z"})
    run = run_sync(FULL)
    name = warehouse.value("select name from partner_center_referrals where referral_id = %s", (row["id"],))
    assert name == "newest"
    assert run.counts["persisted"] == 88


def test_a_referral_that_vanishes_stays_stored(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    row = an_open_one(simulator)
    run_sync()
    simulator.control.delete(row["id"])
    run = run_sync(FULL)
    assert run.state == "success"
    assert run.counts["eligible"] == 87
    assert warehouse.value("select count(*) from partner_center_referrals") == 88


def test_an_empty_account(run_sync: Runner, warehouse: Warehouse, simulator: Any) -> None:
    simulator.control.seed("empty")
    run = run_sync()
    assert run.state == "success"
    counts = run.counts
    assert counts.pop("mode") == "full"
    assert counts.pop("skipped") == {}
    assert set(counts.values()) == {0}
    assert warehouse.value("select count(*) from partner_center_referrals") == 0


# --- params ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(simulator: Any) -> Any:
    """Five referrals of different direction and status, one of each without."""
    base = an_open_one(simulator)
    shapes = [
        {"direction": "Incoming", "status": "New"},
        {"direction": "OUTGOING", "status": "active"},
        {"direction": "Outgoing", "status": "Closed"},
        {"direction": "incoming", "status": "CLOSED"},
        {"direction": None, "status": "New"},
    ]
    rows = [base | {"id": f"mixed {number}"} | shape for number, shape in enumerate(shapes)]
    simulator.control.seed_raw([json.dumps(row) for row in rows])
    return simulator


@pytest.mark.parametrize(
    ("conf", "stored", "skipped"),
    [
        ({}, {"mixed 0"}, {"direction": 2, "status": 1}),
        ({"direction": "Outgoing"}, {"mixed 1"}, {"direction": 2, "status": 1}),
        ({"direction": "any"}, {"mixed 0", "mixed 1", "mixed 4"}, {"status": 2}),
        ({"statuses": ["Closed"]}, {"mixed 3"}, {"direction": 2, "status": 1}),
        ({"direction": "any", "statuses": ["new", "ACTIVE", "closed"]}, {f"mixed {n}" for n in range(5)}, {}),
    ],
)
def test_direction_and_statuses_are_compared_without_regard_to_case(
    run_sync: Runner, warehouse: Warehouse, mixed: Any, conf: dict, stored: set[str], skipped: dict
) -> None:
    counts = run_sync(conf).counts
    # Every direction is asked for without a filter, which the simulator remarks upon.
    if conf.get("direction") == "any":
        assert [found["rule"] for found in mixed.control.violations()] == ["first_page"]
        mixed.control.clear_violations()
    assert set(warehouse.referrals()) == stored
    assert counts["eligible"] == len(stored)
    assert_adds_up(counts)
    assert counts["skipped"] == skipped


def test_a_stored_referral_is_brought_up_to_date_whatever_direction_the_run_asks_for(
    run_sync: Runner, warehouse: Warehouse, mixed: Any
) -> None:
    run_sync({"direction": "any"})
    mixed.control.patch("mixed 1", {"status": "Closed", "substatus": "Won"})
    counts = run_sync().counts
    assert (counts["eligible"], counts["closed"], counts["updated"]) == (1, 2, 1)
    assert counts["skipped"] == {"direction": 1, "status": 1}
    assert warehouse.referrals()["mixed 1"]["status"] == "Closed"
    assert [found["rule"] for found in mixed.control.violations()] == ["first_page", "first_page"]
    mixed.control.clear_violations()


def test_a_dry_run_writes_no_referral_and_tells_what_would_have_happened(
    run_sync: Runner, warehouse: Warehouse, simulator: Any
) -> None:
    dry = run_sync({"dry_run": True})
    assert dry.state == "success"
    assert warehouse.value("select count(*) from partner_center_referrals") == 0
    real = run_sync()
    assert dry.counts == real.counts
    first, second = an_open_one(simulator, 0), an_open_one(simulator, 1)
    simulator.control.patch(first["id"], {"status": "Closed", "substatus": "Won"})
    simulator.control.patch(second["id"], {"name": "Renamed"})
    before, history = warehouse.versions(), warehouse.history()
    dry = run_sync({"dry_run": True, **FULL})
    assert warehouse.versions() == before
    assert warehouse.history() == history
    assert warehouse.run(dry.run_id)["dry_run"] is True
    real = run_sync(FULL)
    assert dry.counts == real.counts
    assert (real.counts["updated"], real.counts["closed"], real.counts["unchanged"]) == (2, 1, 86)


# --- PostgreSQL 15 ---------------------------------------------------------------------------------------------------


def test_postgresql_15(
    sync_runner: Runner, make_warehouse: Any, postgres15: Any, signed_in: None, flag_on: None, simulator: Any
) -> None:
    warehouse = make_warehouse(postgres15)
    assert warehouse.value("show server_version_num").startswith("15")
    assert sync_runner().counts["inserted"] == 88
    before = warehouse.versions()
    simulator.control.patch(an_open_one(simulator)["id"], {"name": "Renamed"})
    counts = sync_runner(FULL).counts
    assert (counts["inserted"], counts["updated"], counts["unchanged"], counts["persisted"]) == (0, 1, 87, 88)
    after = warehouse.versions()
    assert sum(after[key] != before[key] for key in before) == 1
