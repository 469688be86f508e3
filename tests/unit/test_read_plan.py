"""How much a run reads, decided from what earlier runs have left."""

from datetime import UTC, datetime, timedelta

import pytest

from partner_center.read_plan import BY_FILTER, BY_ORDER, EVERYTHING, FULL, INCREMENTAL, Past, plan

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OVERLAP, DAY, HOUR = timedelta(minutes=15), timedelta(days=1), timedelta(hours=1)
WATERMARK = NOW - timedelta(minutes=10)
KNOWN = {"watermark": WATERMARK, "last_full": NOW - HOUR, "last_full_try": NOW - HOUR}


def planned(asked=INCREMENTAL, overlap=OVERLAP, every=DAY, **past):
    return plan(asked, Past(**past), NOW, overlap, every)


def test_with_a_watermark_only_what_changed_since_is_read_and_a_little_more():
    found = planned(**KNOWN)
    assert (found.mode, found.strategy) == (INCREMENTAL, BY_FILTER)
    assert (found.watermark, found.since) == (WATERMARK, WATERMARK - OVERLAP)
    assert "2026-11-25T11:50:00Z, less 15 min" in found.reason


def test_the_strategy_that_worked_is_remembered():
    assert planned(**KNOWN, strategy=BY_ORDER).strategy == BY_ORDER


@pytest.mark.parametrize(
    ("past", "asked", "why"),
    [
        ({}, INCREMENTAL, "no run of these settings"),
        (KNOWN, FULL, "asked for"),
        (KNOWN | {"is_empty": True}, INCREMENTAL, "no referral is stored"),
        (KNOWN | {"last_full": NOW - DAY, "last_full_try": NOW - DAY}, INCREMENTAL, "daily sweep"),
        ({"watermark": WATERMARK}, INCREMENTAL, "daily sweep"),
    ],
)
def test_everything_is_read(past, asked, why):
    found = planned(asked, **past)
    assert (found.mode, found.strategy, found.since, found.watermark) == (FULL, EVERYTHING, None, None)
    assert why in found.reason


def test_a_sweep_that_failed_is_tried_again_after_an_hour_and_changes_come_in_meanwhile():
    past = KNOWN | {"last_full": NOW - 2 * DAY}
    assert planned(**past | {"last_full_try": NOW - timedelta(minutes=59)}).mode == INCREMENTAL
    assert planned(**past | {"last_full_try": NOW - HOUR}).mode == FULL


def test_no_sweep_by_itself_and_a_sweep_at_every_run():
    long_ago = KNOWN | {"last_full": NOW - 90 * DAY, "last_full_try": NOW - 90 * DAY}
    assert planned(every=None, **long_ago).mode == INCREMENTAL
    each = KNOWN | {"last_full": NOW - timedelta(minutes=10), "last_full_try": NOW - timedelta(minutes=10)}
    assert planned(every=timedelta(minutes=1), **each).mode == FULL
