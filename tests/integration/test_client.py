"""Reading the listing over TLS from the simulator: paging, next links, refusals, retries, the wire byte for byte."""

import contextlib
import gc
import http.server
import json
import logging
import ssl
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl

import pytest
import requests
import trustme

from partner_center.auth import BearerAuth, TokenSource
from partner_center.client import ReferralClient
from partner_center.errors import (
    AccessDenied,
    ApiUnavailable,
    ConfigurationError,
    PageLimitReached,
    RequestRefused,
    SignInRequired,
    UnsafeNextLink,
)
from partner_center.listing import changes_by_filter, changes_by_order, everything
from partner_center.referral import parse
from partner_center.settings import resolve
from partner_center.token_cache import StoredTokenCache
from partner_center.transport import VerbatimAdapter
from tests.conftest import connection_to
from tests.support.memory_store import MemoryStore

COLLECTION = "/v1.0/engagements/referrals"
ONE = "$filter=direction%20eq%20%27Incoming%27&$orderby=createdDateTime%20desc&$top=1"


@pytest.fixture(autouse=True, scope="module")
def earlier_objects():
    """Keep what was there before out of each test's search for what it left open: with Airflow, that takes 0.3 s."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def make_client(simulator, store):
    """Give clients as the hook makes them, without Airflow around; somebody is signed in."""
    sessions = []

    def make(url=None, **changes):
        extra = {**connection_to(simulator)["extra"], **changes}
        found = resolve(host=url or simulator.url, port=None, schema=None, extra=extra, env={})
        tokens = TokenSource(found, StoredTokenCache(store))
        session = requests.Session()
        sessions.append(session)
        session.mount("https://", VerbatimAdapter())
        session.verify = found.verify
        session.auth = BearerAuth(tokens, found)
        return ReferralClient(session, tokens, found)

    simulator.control.settings(auto_approve=True)
    tokens = make()._tokens
    tokens.finish_device_flow(tokens.start_device_flow())
    simulator.control.clear_requests()
    yield make
    for session in sessions:
        session.close()
    gc.collect()


@pytest.fixture
def client(make_client):
    return make_client()


def calls(simulator):
    return [each for each in simulator.control.requests() if each["path"].startswith("/v1.0/")]


def refreshes(simulator):
    return [each for each in simulator.control.requests() if each["grant"] == "refresh_token"]


def seed(simulator, count, **settings):
    rows = [
        {
            "id": f"r-{number:04d}",
            "direction": "Incoming",
            "status": "New",
            "createdDateTime": f"2026-10-01T{number // 60:02d}:{number % 60:02d}:00Z",
            "updatedDateTime": "2026-10-02T00:00:00Z",
        }
        for number in range(count)
    ]
    simulator.control.seed(referrals=rows)
    simulator.control.settings(**settings)
    return [row["id"] for row in rows]


def ids(pages):
    return [parse(row).referral_id for page in pages for row in page.rows]


# Paging


@pytest.mark.parametrize("mode", ["https-full", "http-noengagements", "relative", "short-page", "empty-page"])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 45])
def test_every_row_is_read_once_whatever_the_links_look_like(simulator, client, mode, count):
    expected = seed(simulator, count, max_page_size=10, paging=mode, skiptoken_match="exact")
    pages = list(client.pages(everything("Incoming")))
    assert ids(pages) == expected
    assert [page.number for page in pages] == list(range(1, len(pages) + 1))


def test_a_page_says_how_it_came(simulator, client):
    seed(simulator, 15, max_page_size=10)
    for page in client.pages(everything("Incoming")):
        ours, theirs = calls(simulator)[-1]["client_request_id"], calls(simulator)[-1]["request_id"]
        assert f"client-request-id {ours}, request-id {theirs}" in page.answer
        assert "bytes in" in page.answer


def test_rows_that_move_between_pages_are_not_missed(simulator, client):
    expected = seed(simulator, 45, max_page_size=10, paging="page-mutation")
    assert set(ids(client.pages(everything("Incoming")))) == set(expected)


def test_a_loop_of_links_fails(simulator, client):
    seed(simulator, 45, max_page_size=10, paging="loop")
    with pytest.raises(UnsafeNextLink, match="same next link twice"):
        list(client.pages(everything("Incoming")))
    assert len(calls(simulator)) <= 3


def test_a_link_to_another_host_is_not_followed(simulator, client):
    seed(simulator, 45, max_page_size=10, paging="foreign-host")
    with pytest.raises(UnsafeNextLink, match="localhost"):
        list(client.pages(everything("Incoming")))
    assert [call["page"] for call in calls(simulator)] == [1]


def test_a_page_is_asked_for_only_when_the_one_before_is_used(simulator, client):
    seed(simulator, 45, max_page_size=10)
    pages = client.pages(everything("Incoming"))
    for number in range(1, 4):
        next(pages)
        assert len(calls(simulator)) == number


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_reaching_max_pages_with_more_to_come_fails(simulator, client, limit):
    seed(simulator, 45, max_page_size=10)
    pages = client.pages(everything("Incoming"), max_pages=limit)
    assert len([next(pages) for _ in range(limit)]) == limit
    with pytest.raises(PageLimitReached, match=f"max_pages={limit}"):
        next(pages)
    assert len(calls(simulator)) == limit


def test_reaching_max_pages_at_the_end_is_no_failure(simulator, client):
    expected = seed(simulator, 45, max_page_size=10)
    assert ids(client.pages(everything("Incoming"), max_pages=5)) == expected


# The wire


def test_filter_order_and_size_stand_in_the_first_request_only(simulator, client):
    seed(simulator, 25, max_page_size=10)
    list(client.pages(everything("Incoming")))
    first, *others = [call["query"] for call in calls(simulator)]
    assert dict(parse_qsl(first, strict_parsing=True)) == {
        "$filter": "direction ne 'Outgoing'",
        "$orderby": "createdDateTime asc",
        "$top": "200",
    }
    assert len(others) == 2
    assert all(list(parse_qs(query)) == ["$skiptoken"] for query in others)


@pytest.mark.parametrize("mode", ["https-full", "http-noengagements", "relative"])
def test_the_skiptoken_travels_byte_for_byte(simulator, client, mode):
    seed(simulator, 25, max_page_size=10, paging=mode, skiptoken_match="exact")
    list(client.pages(everything("Incoming")))
    later = [call["query"] for call in calls(simulator) if call["page"] != 1]
    assert later
    for query in later:
        assert query.startswith("$skiptoken=")
        assert "%2b" in query
        assert "%2f" in query
        assert not any(upper in query for upper in ("%2B", "%2F", "%3D"))


def test_a_path_without_engagements_is_tried_again_at_the_collection(simulator, client):
    seed(simulator, 15, max_page_size=10, paging="http-noengagements")
    list(client.pages(everything("Incoming")))
    _, refused, again = calls(simulator)
    assert (refused["path"], refused["status"]) == ("/v1.0/referrals", 404)
    assert (again["path"], again["status"]) == (COLLECTION, 200)
    assert refused["query"] == again["query"]


def test_a_path_without_engagements_that_works_is_not_tried_twice(simulator, client):
    seed(simulator, 15, max_page_size=10, paging="http-noengagements", noengagements_path="works")
    assert len(ids(client.pages(everything("Incoming")))) == 15
    assert [call["path"] for call in calls(simulator)] == [COLLECTION, "/v1.0/referrals"]


def test_a_404_of_the_collection_itself_is_refused_at_once(simulator, client, short_waits):
    simulator.control.faults([{"kind": "status", "status": 404, "code": "itemNotFound"}])
    with pytest.raises(RequestRefused) as caught:
        list(client.pages(everything("Incoming")))
    assert caught.value.status == 404
    assert len(calls(simulator)) == 1


def test_every_call_has_a_fresh_request_id(simulator, client, short_waits):
    seed(simulator, 45, max_page_size=10, strict_request_id=True, paging="http-noengagements")
    simulator.control.faults([{"kind": "html502", "page": 3, "times": 2}, {"kind": "401", "page": 4, "times": 1}])
    list(client.pages(everything("Incoming")))
    given = [call["client_request_id"] for call in calls(simulator)]
    assert len(given) == 5 + 4 + 2 + 1
    assert len(set(given)) == len(given)
    assert all(str(uuid.UUID(each)) == each for each in given)


def bundle_of(tmp_path, *bundles):
    """Return one CA bundle for the login and for a server of the test's own."""
    path = tmp_path / "both.pem"
    path.write_text("".join(Path(each).read_text() for each in bundles))
    return str(path)


def test_our_marker_of_the_target_does_not_travel(make_client, simulator, tmp_path):
    with tls_server() as server:
        make_client(server.url, verify=bundle_of(tmp_path, server.ca, simulator.ca)).probe()
    (request,) = server.seen
    assert "x-verbatim-target" not in {name.lower() for name in request["headers"]}
    assert request["target"] == f"{COLLECTION}?{ONE}"
    assert request["headers"]["Host"] == server.url.removeprefix("https://")


# What changed since a time


SINCE = datetime(2026, 11, 10, 0, 7, tzinfo=UTC)


def seed_by_update(simulator, count, **settings):
    """Give the API rows that were updated a minute after each other, the newest last; return their ids."""
    rows = [
        {"id": f"r{number:03}", "direction": "Incoming", "updatedDateTime": f"2026-11-10T00:{number:02}:00Z"}
        for number in range(count)
    ]
    simulator.control.seed(referrals=rows)
    simulator.control.settings(**settings)
    return [row["id"] for row in rows]


def test_by_filter_only_what_was_updated_since_is_sent(simulator, client):
    expected = seed_by_update(simulator, 10)[7:]
    assert ids(client.pages(changes_by_filter(SINCE))) == expected
    (call,) = calls(simulator)
    assert parse_qs(call["query"])["$filter"] == ["updatedDateTime ge 2026-11-10T00:07:00Z"]


def test_an_api_that_cannot_filter_by_update_says_so(simulator, client):
    simulator.control.settings(updated_filter=False)
    with pytest.raises(RequestRefused) as caught:
        list(client.pages(changes_by_filter(SINCE)))
    assert caught.value.status == 400
    assert [failure["answer"] for failure in client.failures] == ["400"]
    assert "client-request-id" in client.failures[0]["ids"]


def test_by_order_the_listing_ends_at_the_first_page_that_reaches_below(simulator, client):
    expected = seed_by_update(simulator, 40, max_page_size=10)[::-1][:40]
    found = ids(client.pages(changes_by_order(SINCE, "Incoming")))
    assert found == expected  # r007 stands on the last page
    simulator.control.clear_requests()
    found = ids(client.pages(changes_by_order(datetime(2026, 11, 10, 0, 25, tzinfo=UTC), "Incoming")))
    assert found == expected[:20]
    assert len(calls(simulator)) == 2


def test_a_page_that_ends_with_the_very_time_is_not_the_last(simulator, client):
    seed_by_update(simulator, 40, max_page_size=10)
    # Rows of the same time may stand on the next page.
    assert len(ids(client.pages(changes_by_order(datetime(2026, 11, 10, 0, 30, tzinfo=UTC), "Incoming")))) == 20


def test_an_api_that_does_not_keep_the_order_is_read_to_its_end(make_client, simulator, tmp_path, caplog):
    def page(*hours, link):
        value = [{"id": str(hour), "updatedDateTime": f"2026-11-10T{hour:02}:00:00Z"} for hour in hours]
        return json.dumps({"value": value, "@odata.nextLink": link})

    since = datetime(2026, 11, 10, 12, tzinfo=UTC)
    bodies = [page(9, 10, 11, link="?$skiptoken=a"), page(1, 2, link="?$skiptoken=b"), page(23, link=None)]
    with tls_server(bodies=bodies) as server:
        client = make_client(server.url, verify=bundle_of(tmp_path, server.ca, simulator.ca))
        assert ids(client.pages(changes_by_order(since, "any"))) == ["9", "10", "11", "1", "2", "23"]
    assert "does not keep the order" in caplog.text


def test_a_row_that_moves_to_the_front_meanwhile_hides_no_other(simulator, client):
    expected = set(seed_by_update(simulator, 40, max_page_size=10, paging="page-mutation"))
    found = ids(client.pages(changes_by_order(datetime(2026, 11, 9, tzinfo=UTC), "Incoming")))
    moved = expected - set(found)
    assert len(moved) == 1  # it is newer than all that was read: the next run's watermark lies below it
    assert len(found) == 40


# Directions and filters


@pytest.mark.parametrize("direction", ["Incoming", "Outgoing", "any"])
def test_a_direction_reads_what_may_be_meant(simulator, client, direction):
    rows = [{"id": name, "direction": name} for name in ("Incoming", "incoming", "Outgoing", "Other")] + [
        {"id": "none"}
    ]
    simulator.control.seed(referrals=rows)
    unwanted = {"Incoming": {"Outgoing"}, "Outgoing": {"Incoming"}, "any": set()}[direction]
    assert set(ids(client.pages(everything(direction)))) == {row["id"] for row in rows} - unwanted
    simulator.control.clear_violations()  # "any" needs no $filter


def test_an_api_that_refuses_ne_gets_the_documented_filter(simulator, client):
    expected = seed(simulator, 15, max_page_size=10)
    simulator.control.faults([{"kind": "status", "status": 400, "code": "invalidRequest", "page": 1, "times": 1}])
    assert ids(client.pages(everything("Incoming"))) == expected
    asked = [parse_qs(call["query"]).get("$filter") for call in calls(simulator)]
    assert asked == [["direction ne 'Outgoing'"], ["direction eq 'Incoming'"], None]


def test_an_api_that_refuses_both_filters_is_asked_for_everything(simulator, client):
    expected = seed(simulator, 15, max_page_size=10)
    simulator.control.faults([{"kind": "status", "status": 400, "code": "invalidRequest", "page": 1, "times": 2}])
    assert ids(client.pages(everything("Incoming"))) == expected
    asked = [parse_qs(call["query"]).get("$filter") for call in calls(simulator)]
    assert asked == [["direction ne 'Outgoing'"], ["direction eq 'Incoming'"], None, None]
    simulator.control.clear_violations()


def test_an_api_that_refuses_the_request_without_a_filter_too_fails(simulator, client):
    simulator.control.faults([{"kind": "status", "status": 400, "code": "invalidRequest"}])
    with pytest.raises(RequestRefused, match="invalidRequest"):
        list(client.pages(everything("Incoming")))
    assert len(calls(simulator)) == 3
    simulator.control.clear_violations()


def test_an_empty_account_is_asked_once_more_with_the_documented_filter(simulator, client):
    simulator.control.seed("empty")
    (page,) = client.pages(everything("Incoming"))
    assert page.rows == []
    asked = [parse_qs(call["query"])["$filter"] for call in calls(simulator)]
    assert asked == [["direction ne 'Outgoing'"], ["direction eq 'Incoming'"]]


def test_an_empty_account_without_a_filter_is_asked_once(simulator, client):
    simulator.control.seed("empty")
    assert ids(client.pages(everything("any"))) == []
    assert len(calls(simulator)) == 1
    simulator.control.clear_violations()


def test_an_empty_first_page_with_a_link_is_followed(make_client, simulator, tmp_path):
    first = '{"value":[],"@odata.nextLink":"?$skiptoken=x"}'
    with tls_server(bodies=[first, '{"value":[{"id":"1"}]}']) as server:
        client = make_client(server.url, verify=bundle_of(tmp_path, server.ca, simulator.ca))
        assert ids(client.pages(everything("Incoming"))) == ["1"]
    assert [request["target"] for request in server.seen][1:] == [f"{COLLECTION}?$skiptoken=x"]


def test_the_probe_asks_for_one_row(simulator, client):
    assert client.probe() == 1
    simulator.control.seed("empty")
    assert client.probe() == 0
    assert {call["query"] for call in calls(simulator)} == {ONE}


# A skiptoken that expired


@pytest.mark.parametrize("status", [400, 410])
def test_an_expired_skiptoken_restarts_the_listing(simulator, client, status, caplog):
    expected = seed(simulator, 45, max_page_size=10)
    simulator.control.faults([{"kind": "expired-skiptoken", "page": 3, "times": 1, "status": status}])
    pages = list(client.pages(everything("Incoming")))
    assert ids(pages) == expected[:20] + expected
    assert [page.number for page in pages] == list(range(1, 8))
    assert any("once more from its first page" in message for message in caplog.messages)


@pytest.mark.parametrize("status", [400, 410])
def test_the_listing_is_restarted_only_once(simulator, client, status):
    seed(simulator, 45, max_page_size=10)
    simulator.control.faults([{"kind": "expired-skiptoken", "page": 3, "times": 2, "status": status}])
    with pytest.raises(RequestRefused) as caught:
        list(client.pages(everything("Incoming")))
    assert caught.value.status == status
    assert len([call for call in calls(simulator) if call["page"] == 1]) == 2


def test_max_pages_counts_the_pages_of_both_listings(simulator, client):
    seed(simulator, 45, max_page_size=10)
    simulator.control.faults([{"kind": "expired-skiptoken", "page": 3, "times": 1}])
    with pytest.raises(PageLimitReached):
        list(client.pages(everything("Incoming"), max_pages=6))


# What passes by itself


PASSING = [
    {"kind": "html502"},
    {"kind": "html200"},
    {"kind": "reset"},
    {"kind": "truncate"},
    {"kind": "429"},
    *({"kind": "status", "status": status} for status in (408, 423, 425, 500, 502, 503, 504, 507, 509)),
    {"kind": "status", "status": 200, "body": ""},
    {"kind": "status", "status": 200, "body": "null"},
    {"kind": "status", "status": 200, "body": '{"value":null}'},
    {"kind": "status", "status": 200, "body": '{"error":{"code":"x"}}'},
    {"kind": "status", "status": 204, "body": ""},
    {"kind": "status", "status": 302, "body": ""},
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: "-".join(map(str, fault.values())))
@pytest.mark.parametrize("page", [1, 2])
def test_what_passes_by_itself_is_tried_again(simulator, client, short_waits, fault, page):
    expected = seed(simulator, 15, max_page_size=10)
    simulator.control.faults([{**fault, "page": page, "times": 4}])
    assert ids(client.pages(everything("Incoming"))) == expected
    assert len(short_waits) == 4


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: "-".join(map(str, fault.values())))
def test_what_does_not_pass_fails_as_unavailable_after_five_attempts(simulator, client, short_waits, fault):
    simulator.control.faults([fault])
    with pytest.raises(ApiUnavailable):
        list(client.pages(everything("Incoming")))
    assert len(calls(simulator)) == 5
    assert len(short_waits) == 4


@pytest.mark.parametrize("kind", [{"kind": "429"}, {"kind": "status", "status": 503}])
@pytest.mark.parametrize(
    ("wish", "pause"), [({"retry_after": 7}, 7), ({"seconds_from_now": 30}, 30), ({"retry_after": "x"}, None)]
)
def test_retry_after_is_obeyed_in_both_forms(simulator, client, short_waits, kind, wish, pause):
    simulator.control.faults([{**kind, **wish, "times": 1}])
    list(client.pages(everything("Incoming")))
    if pause is None:
        assert 1 <= short_waits[0] <= 2
    else:
        assert short_waits == [pytest.approx(pause, abs=1.2)]
    simulator.control.clear_violations()  # the pause was not waited out


def test_a_long_retry_after_is_left_to_airflow(simulator, client, short_waits):
    simulator.control.faults([{"kind": "429", "retry_after": 600}])
    with pytest.raises(ApiUnavailable) as caught:
        list(client.pages(everything("Incoming")))
    assert caught.value.retry_after == 600
    assert (len(calls(simulator)), short_waits) == (1, [])


def test_nobody_listening_is_unavailable(make_client, short_waits):
    with pytest.raises(ApiUnavailable, match="could not be reached"):
        list(make_client("https://127.0.0.1:1").pages(everything("Incoming")))
    assert len(short_waits) == 4


# What a person has to see to


def test_one_401_is_one_renewal(simulator, client):
    expected = seed(simulator, 25, max_page_size=10)
    simulator.control.faults([{"kind": "401", "page": 2, "times": 1}])
    assert ids(client.pages(everything("Incoming"))) == expected
    assert len(refreshes(simulator)) == 1


def test_a_revoked_token_is_renewed_in_mid_run(simulator, client):
    expected = seed(simulator, 25, max_page_size=10)
    pages = client.pages(everything("Incoming"))
    first = next(pages)
    simulator.control.revoke("access")
    assert ids([first, *pages]) == expected
    assert len(refreshes(simulator)) == 1


def test_a_401_for_ever_fails_after_one_renewal(simulator, client, short_waits):
    simulator.control.faults([{"kind": "401"}])
    with pytest.raises(SignInRequired) as caught:
        list(client.pages(everything("Incoming")))
    assert caught.value.reason == "token_rejected"
    assert (len(calls(simulator)), len(refreshes(simulator)), short_waits) == (2, 1, [])


def test_a_refused_renewal_in_mid_run_has_its_reason(simulator, client):
    simulator.control.revoke("all")
    with pytest.raises(SignInRequired) as caught:
        list(client.pages(everything("Incoming")))
    assert caught.value.reason == "refresh_revoked"
    assert len(calls(simulator)) == 1


@pytest.mark.parametrize("variant", ["text", "number", "csp"])
def test_a_401_that_asks_for_mfa_fails_at_once(simulator, client, variant):
    simulator.control.faults([{"kind": "401-mfa", "variant": variant}])
    with pytest.raises(SignInRequired, match="MFA") as caught:
        list(client.pages(everything("Incoming")))
    assert caught.value.reason == "mfa_required"
    assert (len(calls(simulator)), len(refreshes(simulator))) == (1, 0)


def test_a_403_fails_at_once_and_names_the_roles(simulator, client, short_waits):
    simulator.control.faults([{"kind": "403-role"}])
    with pytest.raises(AccessDenied, match="Referrals Admin or Referrals User") as caught:
        list(client.pages(everything("Incoming")))
    assert caught.value.reason == "role_missing"
    assert (len(calls(simulator)), short_waits) == (1, [])


def test_a_claims_challenge_fails_at_once_and_is_kept_for_the_next_sign_in(simulator, client, store, short_waits):
    simulator.control.faults([{"kind": "403-claims"}])
    with pytest.raises(AccessDenied, match="stronger sign-in") as caught:
        list(client.pages(everything("Incoming")))
    assert caught.value.reason == "claims_challenge"
    claims = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
    assert json.loads(store.state) == {"claims": claims}
    assert (len(calls(simulator)), short_waits) == (1, [])


@pytest.mark.parametrize("status", [405, 406, 409, 412, 422])
@pytest.mark.parametrize("page", [1, 2])
def test_another_refusal_fails_at_once(simulator, client, status, page, short_waits):
    seed(simulator, 15, max_page_size=10)
    simulator.control.faults([{"kind": "status", "status": status, "page": page, "code": "someCode"}])
    with pytest.raises(RequestRefused, match="someCode") as caught:
        list(client.pages(everything("Incoming")))
    assert caught.value.status == status
    assert (len(calls(simulator)), short_waits) == (page, [])


@pytest.mark.parametrize("body", ["", "<html>no</html>", "[]", '"x"', '{"error":"text"}', '{"error":{"innerError":7}}'])
def test_a_refusal_with_any_body_is_a_refusal(simulator, client, body):
    simulator.control.faults([{"kind": "status", "status": 422, "body": body}])
    with pytest.raises(RequestRefused, match="no code"):
        list(client.pages(everything("Incoming")))


def test_the_errors_name_the_request_ids_and_no_secret(simulator, client, store, caplog, short_waits):
    caplog.set_level(logging.DEBUG)
    seed(simulator, 45, max_page_size=10)
    secret = client._tokens.current().secret
    shown = []
    for fault in (*PASSING, {"kind": "401"}, {"kind": "403-role"}, {"kind": "status", "status": 400}):
        simulator.control.faults([{**fault, "page": 2}])
        with pytest.raises((ApiUnavailable, SignInRequired, AccessDenied, RequestRefused)) as caught:
            list(client.pages(everything("Incoming")))
        assert calls(simulator)[-1]["client_request_id"] in str(caught.value)
        shown += [str(caught.value), repr(caught.value)]
    shown += [record.getMessage() for record in caplog.records if record.name.startswith("partner_center")]
    assert len(shown) > 30
    for text in shown:
        assert secret not in text
        assert "skiptoken" not in text.lower()
        assert "Bearer" not in text


def test_pages_without_a_row_are_followed_but_not_for_ever(make_client, simulator, tmp_path, monkeypatch):
    monkeypatch.setattr("partner_center.client.MOST_EMPTY_PAGES", 5)
    empty = [f'{{"value":[],"@odata.nextLink":"?$skiptoken={number}"}}' for number in range(20)]
    row = '{"value":[{"id":"1"}],"@odata.nextLink":"?$skiptoken=row"}'
    with tls_server(bodies=[*empty[:5], row, *empty[5:10], '{"value":[{"id":"2"}]}']) as server:
        client = make_client(server.url, verify=bundle_of(tmp_path, server.ca, simulator.ca))
        assert ids(client.pages(everything("Incoming"))) == ["1", "2"]
    with tls_server(bodies=[row, *empty]) as server:
        client = make_client(server.url, verify=bundle_of(tmp_path, server.ca, simulator.ca))
        with pytest.raises(UnsafeNextLink, match="would never end"):
            list(client.pages(everything("Incoming")))
    assert len(server.seen) == 7


# Transport


class Server:
    """A TLS server that answers with canned bodies and keeps what it was asked."""

    def __init__(self, status, headers, bodies):
        self.seen = []
        ca = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append({"target": self.path, "headers": dict(self.headers)})
                body = bodies[min(len(outer.seen), len(bodies)) - 1].encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.http.server_address[1]}"
        self.authority = ca


@contextlib.contextmanager
def tls_server(status=200, headers=None, bodies=('{"value":[]}',)):
    server = Server(status, headers or {}, bodies)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        with server.authority.cert_pem.tempfile() as ca:
            server.ca = ca
            yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


@pytest.fixture
def api(make_client, simulator, tmp_path):
    """Give a client of a canned server that still signs in at the simulator."""

    @contextlib.contextmanager
    def serve(*arguments, **options):
        with tls_server(*arguments, **options) as server:
            yield server, make_client(server.url, verify=bundle_of(tmp_path, server.ca, simulator.ca))

    return serve


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(api, short_waits, status):
    with tls_server() as other:
        elsewhere = {"Location": f"{other.url}/v1.0/x"}
        with api(status, elsewhere) as (server, client), pytest.raises(ApiUnavailable):
            list(client.pages(everything("Incoming")))
    assert len(server.seen) == 5
    assert other.seen == []


def test_a_redirect_within_the_host_is_not_followed_either(api, short_waits):
    with api(302, {"Location": "/v1.0/elsewhere"}) as (server, client), pytest.raises(ApiUnavailable):
        list(client.pages(everything("Incoming")))
    assert {request["target"].partition("?")[0] for request in server.seen} == {COLLECTION}


def test_one_connection_is_kept_for_all_pages(simulator, client):
    seed(simulator, 95, max_page_size=10)
    began = time.monotonic()
    list(client.pages(everything("Incoming")))
    assert len(client._session.get_adapter(simulator.url).poolmanager.pools) == 1
    (pool,) = client._session.get_adapter(simulator.url).poolmanager.pools._container.values()
    assert pool.num_connections == 1
    assert pool.num_requests == 10
    assert time.monotonic() - began < 10


def test_a_certificate_that_nobody_trusts_gets_no_token(make_client, simulator, short_waits):
    with tls_server() as server:
        client = make_client(server.url)  # which trusts the simulator's authority only
        with pytest.raises(ConfigurationError, match="certificate"):
            list(client.pages(everything("Incoming")))
    assert (server.seen, short_waits) == ([], [])


def test_requests_ca_bundle_does_not_take_the_place_of_our_ca(simulator, client, tmp_path, monkeypatch):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    expected = seed(simulator, 15, max_page_size=10)
    assert ids(client.pages(everything("Incoming"))) == expected


def test_a_netrc_does_not_take_the_place_of_the_token(simulator, client, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    expected = seed(simulator, 5)
    assert ids(client.pages(everything("Incoming"))) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"ms-requestid": "r-1"},
        {"X-MS-Request-Id": "r-1"},
        {"MS-CorrelationId": "r-1"},
        {"request-id": "r-1", "ms-requestid": "r-2"},
    ],
)
def test_the_service_names_its_request_id_in_several_ways(api, headers):
    with api(200, headers) as (_, client):
        (page,) = client.pages(everything("any"))
    assert page.answer.endswith("request-id r-1")


def test_an_answer_without_a_request_id_is_no_failure(api):
    with api() as (_, client):
        (page,) = client.pages(everything("any"))
    assert page.answer.endswith("request-id none")
