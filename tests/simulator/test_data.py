"""The data sets: their numbers, that they are the same each time, that every shape is what its name says."""

from __future__ import annotations

import json
from collections import Counter
from statistics import mean
from typing import Any

import pytest

from simulator.data import AWKWARD, all_awkward, bulk, disaster, load
from simulator.data.disaster import CONSUMER
from simulator.values import instant


def mails(row: dict[str, Any]) -> list[str]:
    team = row["customerProfile"]["team"] or []
    return [member["email"] for member in team if member["email"]]


def business(row: dict[str, Any]) -> bool:
    """Say, without the library under test, whether an address of the disaster is a company's."""
    hosts = [mail.partition("@")[2] for mail in mails(row)]
    return any("." in host and "[" not in host and host not in (*CONSUMER, "co.uk") for host in hosts)


def test_the_disaster_in_numbers() -> None:
    rows = disaster()
    assert len(rows) == len({row["id"] for row in rows}) == 250
    assert {row["direction"] for row in rows} == {"Incoming"}
    opened = [row for row in rows if row["status"] in ("New", "Active")]
    assert len(opened) == 88
    assert Counter(map(business, opened)) == {True: 38, False: 50}
    closed = Counter(row["substatus"] for row in rows if row["status"] == "Closed")
    assert closed == {"Won": 44, "Lost": 51, "Declined": 38, "Expired": 29}
    assert closed.total() == 162


def test_the_disaster_is_a_realistic_mix() -> None:
    rows = disaster()
    assert {row["customerProfile"]["address"]["country"] for row in rows} == {
        "TR",
        "DE",
        "JP",
        "GB",
        "FI",
        "US",
    }
    kinds = {
        (
            row["type"],
            row["qualification"],
            ((row["inviteContext"] or {}).get("invitedBy") or {}).get("organizationName"),
        )
        for row in rows
    }
    assert len(kinds) == 7
    without = [row for row in rows if row["status"] != "Closed" and not business(row)]
    assert sum(not mails(row) for row in without) == 16
    assert sum(any("@" in mail for mail in mails(row)) for row in without) > 20


def test_the_data_is_the_same_every_time() -> None:
    assert disaster() == disaster()
    assert [row.text for row in bulk(50)] == [row.text for row in bulk(50)]
    assert max(row["updatedDateTime"] for row in disaster()) < "2026-12"


def test_bulk_has_its_size_and_shares() -> None:
    rows = bulk(2000)
    assert 2120 <= mean(len(row.text) for row in rows) <= 2220
    values = [json.loads(row.text) for row in rows]
    assert [value["id"] for value in values] == [row.id for row in rows]
    assert len({row.id for row in rows}) == 2000
    eligible = [v for v in values if v["direction"] == "Incoming" and v["status"] in ("New", "Active")]
    assert len(eligible) == 1300
    domains = [mail.partition("@")[2] for v in eligible for mail in mails(v) if mail.startswith("it@")]
    assert len(domains) == len(set(domains)) == 520


def test_an_unknown_data_set_is_refused() -> None:
    for name in ("nonsense", "bulk:", "bulk:x"):
        with pytest.raises(ValueError, match="There is no data set"):
            load(name)


def test_every_shape_has_an_outcome() -> None:
    assert {case.expected for case in AWKWARD.values()} == {"stored", "quarantined", "skipped"}
    assert all(case.domain is None for case in AWKWARD.values() if case.expected != "stored")
    assert all((case.domain is None) is (case.candidates == 0) for case in AWKWARD.values())


@pytest.mark.parametrize("name", AWKWARD)
def test_every_shape_is_json(name: str) -> None:
    for text in AWKWARD[name].rows:
        json.loads(text)
        text.encode()


def test_shapes_are_what_their_names_say() -> None:
    rows = {name: json.loads(case.rows[0]) for name, case in AWKWARD.items()}
    assert "\x00" in rows["nul_in_notes"]["details"]["notes"]
    assert r"\u0000" in AWKWARD["nul_in_notes"].rows[0]
    assert "\ud83d" in rows["lone_surrogate"]["details"]["notes"]
    assert len(rows["note_200kb"]["details"]["notes"]) >= 200_000
    assert rows["number_as_text"]["details"]["dealValue"] == "12500.50"
    assert [rows[f"fraction_{n}"]["updatedDateTime"][19:] for n in (0, 1, 7)] == ["Z", ".1Z", ".1234567Z"]
    assert rows["ids_object"]["customerProfile"]["ids"] == {}
    assert isinstance(rows["team_object"]["customerProfile"]["team"], dict)
    assert "direction" not in rows["missing_direction"]
    assert rows["not_an_object"] == "a bare string"
    assert "id" not in rows["no_id"]
    assert "1e400" in AWKWARD["overflowing_deal_value"].rows[0]
    twice = [json.loads(text) for text in AWKWARD["same_id_twice_newer_second"].rows]
    assert twice[0]["id"] == twice[1]["id"] == AWKWARD["same_id_twice_newer_second"].id
    assert [instant(value["updatedDateTime"])[-1] for value in twice] == ["0", "1"]


def test_ids_do_not_meet_by_accident() -> None:
    seen: Counter[str] = Counter()
    for case in AWKWARD.values():
        values = [json.loads(text) for text in case.rows]
        seen.update({v["id"] for v in values if isinstance(v, dict) and isinstance(v.get("id"), str) and v["id"]})
    assert set(seen.values()) == {1}


def test_awkward_rows_go_out_verbatim(client: Any, sim: Any) -> None:
    sim.control.seed(dataset="awkward")
    sim.control.settings(max_page_size=1000)
    body = client.get("/v1.0/engagements/referrals?$top=1000").content
    assert all(text.encode() in body for text in all_awkward())
    assert len(json.loads(body)["value"]) == len(all_awkward())


def test_awkward_rows_can_be_filtered_and_sorted(client: Any, sim: Any) -> None:
    sim.control.seed(dataset="awkward")
    ids = client.ids("$filter=updatedDateTime ge 2026-11-20T10:00:00.0000001Z&$orderby=updatedDateTime desc")
    assert ids == [AWKWARD["same_id_twice_newer_second"].id, AWKWARD["same_id_twice_newer_first"].id]
