"""What the API is asked for, and when a listing that comes newest first may end."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partner_center.listing import Descent, changes_by_filter, changes_by_order, everything

SINCE = datetime(2026, 11, 25, 10, 30, 15, 999_999, tzinfo=UTC)
HOURS = st.integers(0, 48)


def rows(*hours):
    """Rows that were updated so many hours before midnight of the 26th."""
    midnight = datetime(2026, 11, 26, tzinfo=UTC)
    times = [(midnight - timedelta(hours=each)).strftime("%Y-%m-%dT%H:%M:%S.0000000Z") for each in hours]
    return [json.dumps({"id": "x", "updatedDateTime": time}).encode() for time in times]


def test_a_time_is_an_unquoted_odata_literal_cut_to_the_second():
    (condition,) = changes_by_filter(SINCE).filters
    assert condition == "updatedDateTime ge 2026-11-25T10:30:15Z"
    there = SINCE.astimezone(timezone(timedelta(hours=9)))
    assert changes_by_filter(there) == changes_by_filter(SINCE)


@pytest.mark.parametrize(
    ("direction", "filters"),
    [
        ("Incoming", ("direction ne 'Outgoing'", "direction eq 'Incoming'", None)),
        ("outgoing", ("direction ne 'Incoming'", "direction eq 'Outgoing'", None)),
        ("any", (None,)),
    ],
)
def test_the_most_lenient_filter_comes_first(direction, filters):
    assert everything(direction).filters == filters
    assert changes_by_order(SINCE, direction).filters == filters


def test_what_is_read_in_full_comes_in_an_order_that_updates_do_not_disturb():
    assert everything("any").order == changes_by_filter(SINCE).order == "createdDateTime asc"
    assert changes_by_order(SINCE, "any").order == "updatedDateTime desc"
    assert (everything("any").until, changes_by_order(SINCE, "any").until) == (None, SINCE)


def test_the_first_page_whose_last_row_is_older_is_the_last():
    descent = Descent(datetime(2026, 11, 25, tzinfo=UTC))
    assert not descent.is_below(rows(1, 2, 3))
    assert not descent.is_below(rows(3, 24))
    assert descent.is_below(rows(24, 25))
    assert descent.is_kept


def test_a_page_without_a_time_says_nothing():
    descent = Descent(datetime(2026, 11, 25, tzinfo=UTC))
    odd = [b'{"updatedDateTime": null}', b"{}", b"[]", b'"text"', b"{", b'{"updatedDateTime": "yesterday"}']
    assert not descent.is_below(odd)
    assert not descent.is_below([])
    assert descent.is_below(rows(30) + odd)
    assert descent.is_kept


def test_an_order_that_is_not_kept_proves_nothing_any_more():
    descent = Descent(datetime(2026, 11, 25, tzinfo=UTC))
    assert not descent.is_below(rows(40, 39))
    assert not descent.is_kept
    assert not descent.is_below(rows(45, 46))


@given(st.lists(st.lists(HOURS, max_size=4), max_size=6))
def test_no_row_after_the_end_was_updated_since(pages):
    until = datetime(2026, 11, 25, tzinfo=UTC)
    ordered = sorted(hour for page in pages for hour in page)
    sizes = [len(page) for page in pages]
    descent = Descent(until)
    for number, size in enumerate(sizes):
        start = sum(sizes[:number])
        if descent.is_below(rows(*ordered[start : start + size])):
            assert all(hour > 24 for hour in ordered[start + size :])
            return
