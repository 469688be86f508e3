"""What may pass by itself is tried again, after the time that the service asked for, and not for ever."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import tenacity
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_center.errors import (
    AccessDenied,
    ApiUnavailable,
    ConfigurationError,
    CountMismatch,
    RequestRefused,
    SignInRequired,
    UnsafeNextLink,
)
from partner_center.retrying import ATTEMPTS, LONGEST_WAIT, once, retry_after, retrying


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were asked for; none is waited out."""
    asked = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", asked.append)
    return asked


class Flaky:
    """Raises the errors in turn, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def call(action):
    for attempt in retrying():
        with attempt:
            return action()
    raise AssertionError


# The header


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("120", 120.0),
        (" 30 ", 30.0),
        ("86400", 86_400.0),
        (None, None),
        ("", None),
        ("  ", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("10, 20", None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999", None),
        ("²", None),
        ("١٢", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_in_seconds(header, seconds):
    assert retry_after(header) == seconds


def test_retry_after_as_a_date():
    asked = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True))
    assert 85 < asked <= 90


def test_retry_after_as_a_date_with_a_zone():
    zone = datetime.now(UTC).astimezone() + timedelta(seconds=90)
    assert 85 < retry_after(format_datetime(zone)) <= 90


def test_retry_after_as_a_date_without_a_zone_is_utc():
    asked = retry_after((datetime.now(UTC) + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S -0000"))
    assert 85 < asked <= 90


def test_a_date_in_the_past_means_now():
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0.0


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=40))
def test_no_header_raises(header):
    asked = retry_after(header)
    assert asked is None or asked >= 0


# The loop


def test_a_call_that_works_is_made_once(pauses):
    action = Flaky()
    assert call(action) == "answer"
    assert (action.calls, pauses) == (1, [])


def test_the_pauses_grow_and_have_jitter(pauses):
    assert call(Flaky(*[ApiUnavailable("busy") for _ in range(4)])) == "answer"
    for pause, least in zip(pauses, (1, 2, 4, 8), strict=True):
        assert least <= pause <= least + 1
    assert len({pause % 1 for pause in pauses}) == 4


def test_the_last_error_is_raised_after_five_attempts(pauses):
    errors = [ApiUnavailable(f"busy {number}") for number in range(9)]
    action = Flaky(*errors)
    with pytest.raises(ApiUnavailable, match="busy 4") as caught:
        call(action)
    assert caught.value is errors[4]
    assert (action.calls, len(pauses)) == (ATTEMPTS, ATTEMPTS - 1) == (5, 4)


@pytest.mark.parametrize("asked", [0.0, 0.5, 7.0, 60.0, LONGEST_WAIT])
def test_the_pause_is_what_the_service_asked_for(pauses, asked):
    assert call(Flaky(ApiUnavailable("busy", asked))) == "answer"
    assert pauses == [pytest.approx(asked, abs=0.5)]
    assert pauses[0] > asked


def test_a_negative_wish_is_no_wait(pauses):
    assert call(Flaky(ApiUnavailable("busy", -5.0))) == "answer"
    assert 0 <= pauses[0] < 1


@pytest.mark.parametrize("asked", [LONGEST_WAIT + 1, 3_600.0, float("inf")])
def test_a_long_wish_is_left_to_airflow_at_once(pauses, asked):
    action = Flaky(ApiUnavailable("busy", asked))
    with pytest.raises(ApiUnavailable) as caught:
        call(action)
    assert caught.value.retry_after == asked
    assert (action.calls, pauses) == (1, [])


@pytest.mark.parametrize(
    "error",
    [
        SignInRequired("not_signed_in", "x"),
        AccessDenied("role_missing", "x"),
        RequestRefused(400, "x"),
        ConfigurationError("x"),
        UnsafeNextLink("x"),
        CountMismatch("x"),
        ValueError("x"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_other_error_is_raised_at_once(pauses, error):
    action = Flaky(error)
    with pytest.raises(type(error)) as caught:
        call(action)
    assert caught.value is error
    assert (action.calls, pauses) == (1, [])


def test_each_loop_counts_for_itself(pauses):
    for _ in range(2):
        action = Flaky(*[ApiUnavailable("busy") for _ in range(4)])
        assert call(action) == "answer"
    assert len(pauses) == 8


def test_each_pause_is_told(pauses, caplog):
    call(Flaky(ApiUnavailable("The API is busy.", 7.0)))
    assert caplog.messages == ["Attempt 1 of 5: The API is busy. Next one in 7.1 s."]


def test_who_is_waiting_for_an_answer_gets_the_first(pauses):
    def attempts():
        made = 0
        with pytest.raises(ApiUnavailable):
            for attempt in retrying():
                with attempt:
                    made += 1
                    raise ApiUnavailable("away")
        return made

    with once():
        assert attempts() == 1
    assert pauses == []
    assert attempts() == ATTEMPTS
