"""Fields of log lines and gauges, without Airflow, and nothing of a run that was not counted."""

import structlog

from partner_center import log_fields, measures


def test_objects_become_fields_of_their_own_and_what_is_unknown_none():
    counts = {"mode": "full", "fetched": 3, "skipped": {"status": 2, "direction": 0}, "vanished": None}
    assert log_fields.flat(counts) == {"mode": "full", "fetched": 3, "skipped.status": 2, "skipped.direction": 0}


def test_fields_are_on_the_lines_meanwhile_and_no_longer():
    with log_fields.of("partner_center_emea", asked_mode="full"), log_fields.counted({"fetched": 3}):
        bound = structlog.contextvars.get_contextvars()
    assert bound == {"connection": "partner_center_emea", "asked_mode": "full", "fetched": 3}
    assert structlog.contextvars.get_contextvars() == {}


ENDED = {
    "state": "failed",
    "fetched": 3,
    "skipped": None,
    "persisted": None,
    "duration_seconds": 1.5,
    "last_success_age_seconds": None,
    "watermark_age_seconds": -0.5,
    "quarantine_open_rows": 4,
}


def test_gauges_of_a_run_that_failed_before_it_had_counted_all():
    assert measures.gauges(ENDED) == {
        "last_run.fetched": 3.0,
        "last_run.duration_seconds": 1.5,
        "last_run.succeeded": 0.0,
        # StatsD takes a number with a sign for a change of the gauge.
        "watermark_age_seconds": 0.0,
        "quarantine_open_rows": 4.0,
    }
