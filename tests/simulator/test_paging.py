"""Listings: sizes, next links in every mode, the bytes of a skiptoken."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

COLLECTION = "/v1.0/engagements/referrals"
DESC = "$orderby=updatedDateTime desc"


@pytest.mark.parametrize(
    ("count", "query", "sizes"),
    [
        (0, "", [0]),
        (1, "", [1]),
        (100, "", [100]),
        (101, "", [100, 1]),
        (250, "$top=200", [200, 50]),
        (450, "$top=1000", [200, 200, 50]),
        (5, "$top=2", [2, 2, 1]),
        (5, "$top=2&$skip=3", [2]),
        (5, "$skip=9", [0]),
    ],
)
def test_pages_have_the_size_asked_for(client: Any, seeded: Any, count: int, query: str, sizes: list) -> None:
    seeded(count)
    pages = list(client.pages(query))
    assert [len(page["value"]) for page in pages] == sizes
    assert [page["@odata.count"] for page in pages] == sizes
    assert "@odata.nextLink" not in pages[-1]


def test_the_settable_sizes_hold(client: Any, sim: Any, seeded: Any) -> None:
    seeded(12)
    sim.control.settings(page_size=3, max_page_size=5)
    assert [len(page["value"]) for page in client.pages()] == [3, 3, 3, 3]
    assert [len(page["value"]) for page in client.pages("$top=100")] == [5, 5, 2]


def test_count_gives_the_grand_total(client: Any, seeded: Any) -> None:
    seeded(7)
    assert [page["@odata.count"] for page in client.pages("$count=true&$top=4")] == [7, 7]


def test_a_listing_is_filtered_sorted_and_projected(client: Any, sim: Any, seeded: Any) -> None:
    seeded(6)
    sim.control.patch(id=f"{2:08d}-0000-4000-8000-000000000000", changes={"status": "Closed"})
    query = "$filter=status eq 'New'&$orderby=updatedDateTime desc&$select=id,status&$top=3"
    found = [row for page in client.pages(query) for row in page["value"]]
    assert [int(row["id"][:8]) for row in found] == [5, 4, 3, 1, 0]
    assert {tuple(row) for row in found} == {("id", "status")}


def test_the_first_query_holds_for_all_pages_of_a_snapshot(client: Any, sim: Any, seeded: Any) -> None:
    seeded(4)
    listing = client.pages(f"$top=2&{DESC}")
    next(listing)
    sim.control.patch(id=f"{0:08d}-0000-4000-8000-000000000000", changes={})
    assert [int(row["id"][:8]) for row in next(listing)["value"]] == [1, 0]


@pytest.mark.parametrize(
    "query", ["$top=0", "$top=x", "$skip=-1", "$count=yes", "$expand=team", "$filter=x", "$top=1&$top=2"]
)
def test_a_bad_option_is_an_invalid_request(client: Any, query: str) -> None:
    answer = client.get(f"{COLLECTION}?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalidRequest"


def test_the_updated_filter_can_be_refused(client: Any, sim: Any) -> None:
    query = "$filter=updatedDateTime ge 2026-01-01T00:00:00Z"
    assert client.get(f"{COLLECTION}?{query}").status_code == 200
    sim.control.settings(updated_filter=False)
    assert client.get(f"{COLLECTION}?{query}").status_code == 400
    assert client.get(f"{COLLECTION}?$filter=status eq 'New'").status_code == 200


def _link(client: Any) -> str:
    return client.get(f"{COLLECTION}?$top=1").json()["@odata.nextLink"]


def test_a_skiptoken_is_percent_encoded_in_lower_case(client: Any, seeded: Any) -> None:
    seeded(2)
    query = urlsplit(_link(client)).query
    assert "%2b" in query
    assert "%2f" in query
    assert "%3d" in query


@pytest.mark.parametrize(
    ("change", "mode", "status"),
    [
        (lambda query: query, "exact", 200),
        (lambda query: query.replace("%2b", "%2B"), "hex-case", 200),
        (lambda query: query.replace("%2b", "%2B"), "exact", 400),
        (lambda query: query.replace("%2b", "+"), "hex-case", 400),
        (lambda query: query.replace("%2f", "/"), "hex-case", 400),
        (lambda query: query.replace("$", "%24"), "hex-case", 400),
        (lambda query: query + "&$top=1", "hex-case", 400),
        (lambda query: "$top=1&" + query, "hex-case", 400),
        (lambda _query: "$skiptoken=invented", "hex-case", 400),
    ],
)
def test_a_changed_next_link_is_refused(
    client: Any, sim: Any, seeded: Any, change: Any, mode: str, status: int
) -> None:
    seeded(2)
    sim.control.settings(skiptoken_match=mode)
    query = urlsplit(_link(client)).query
    answer, _ = client.raw(f"{COLLECTION}?{change(query)}")
    assert answer == status
    rules = [found["rule"] for found in sim.control.violations()]
    assert ("next_link" in rules) is (status == 400)


@pytest.mark.parametrize(
    ("mode", "start"),
    [
        ("https-full", "https://{host}/v1.0/engagements/referrals?$skiptoken="),
        ("http-noengagements", "http://{host}/v1.0/referrals?$skiptoken="),
        ("relative", "/v1.0/engagements/referrals?$skiptoken="),
        ("foreign-host", "https://localhost:{port}/v1.0/engagements/referrals?$skiptoken="),
    ],
)
def test_next_links_come_in_every_form(client: Any, sim: Any, seeded: Any, mode: str, start: str) -> None:
    seeded(2)
    sim.control.settings(paging=mode)
    host = urlsplit(sim.url).netloc
    assert _link(client).startswith(start.format(host=host, port=host.split(":")[1]))


def test_the_short_path_is_unknown_unless_it_is_switched_on(client: Any, sim: Any, seeded: Any) -> None:
    seeded(3)
    sim.control.settings(paging="http-noengagements")
    parts = urlsplit(_link(client))
    answer = client.get(f"{parts.path}?{parts.query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "itemNotFound")
    assert client.get(f"{COLLECTION}?{parts.query}").status_code == 200
    sim.control.settings(noengagements_path="works")
    assert len(client.ids("$top=1")) == 3


def test_a_loop_leads_back_to_the_same_page(client: Any, sim: Any, seeded: Any) -> None:
    seeded(5)
    sim.control.settings(paging="loop")
    links = [page["@odata.nextLink"] for page in client.pages("$top=1", limit=4)]
    assert links[0] == links[1] == links[2]


def test_an_empty_page_still_leads_on(client: Any, sim: Any, seeded: Any) -> None:
    seeded(5)
    sim.control.settings(paging="empty-page")
    pages = list(client.pages("$top=2"))
    assert [len(page["value"]) for page in pages] == [2, 0, 2, 0, 1]


def test_short_pages_are_half_of_what_was_asked(client: Any, sim: Any, seeded: Any) -> None:
    seeded(5)
    sim.control.settings(paging="short-page")
    assert [len(page["value"]) for page in client.pages("$top=4")] == [2, 2, 1]


def test_a_row_that_is_updated_between_pages_repeats_another(client: Any, sim: Any, seeded: Any) -> None:
    seeded(6)
    sim.control.settings(paging="page-mutation")
    found = [int(name[:8]) for name in client.ids(f"$top=2&{DESC}")]
    assert found == [5, 4, 4, 2, 1, 0]


def test_in_ascending_order_it_comes_again_and_hides_another(client: Any, sim: Any, seeded: Any) -> None:
    seeded(6)
    sim.control.settings(paging="page-mutation")
    found = [int(name[:8]) for name in client.ids("$top=2&$orderby=updatedDateTime")]
    assert found == [0, 1, 3, 4, 5, 0]
