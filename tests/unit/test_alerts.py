"""The policy of the alerts, over any sequence of states, and what a message says."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_center.accounts import DEFAULT, Account
from partner_center.alert_texts import WORDINGS, duration, text_of
from partner_center.alerts import CAUSES, QUIET, Entry, Message, Policy, Seen, State, View, opened, step

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LINK = "https://airflow.partner.example/partner-center/"
DAY = timedelta(hours=24)


def looks(states, policy=None, *, cause="failed", every=timedelta(minutes=5)):
    """Look once for each state (open, away, unknown, off, or a number of the newest row); return the messages."""
    entry, found = None, []
    for number, state in enumerate(states):
        now = NOW + number * every
        holds = {cause: Seen(now, newest=state if isinstance(state, int) else 0)} if is_open(state) else {}
        view = View(holds, frozenset({cause} if state == "unknown" else ()), is_off=state == "off")
        message, entry = step(entry, cause, view, now, policy or Policy())
        found += [message] if message else []
    return found


def is_open(state):
    return state == "open" or isinstance(state, int)


def kinds(states, policy=None, **options):
    return [message.kind for message in looks(states, policy, **options)]


def test_once_when_it_opens_and_once_when_it_is_over():
    assert kinds(["away", "open", *["open"] * 10, "away", *["away"] * 10]) == ["opened", "over"]


def test_again_after_a_day_but_not_where_that_is_switched_off():
    a_week = ["open"] * (7 * 24)
    every_hour = timedelta(hours=1)
    assert kinds(a_week, every=every_hour) == ["opened", *["still"] * 6]
    assert kinds(a_week, Policy(None), every=every_hour) == ["opened"]


def test_what_comes_and_goes_is_not_told_again_and_again():
    assert kinds(["open", "away"] * 100, Policy(None)) == ["opened", "over", "opened"]
    assert kinds([*["open", "away"] * 100, *["away"] * 6], Policy(None)) == ["opened", "over", "opened", "over"]
    # Its end is late by what it has stayed away.
    (*_, end) = looks([*["open", "away"] * 2, *["away"] * 10])
    assert end.now - NOW == 3 * timedelta(minutes=5) + QUIET


def test_one_that_comes_back_after_a_while_is_a_new_one():
    assert kinds(["open", *["away"] * 7, "open", "away"]) == ["opened", "over", "opened", "over"]


def test_nothing_is_said_of_what_another_cause_hides():
    assert kinds(["open", *["unknown"] * 600, "open"], Policy(None)) == ["opened"]
    assert kinds(["unknown"] * 3) == []
    assert kinds(["open", "unknown", "away"]) == ["opened", "over"]


def test_switched_off_ends_all_at_once():
    assert kinds(["open", "off", "off"]) == ["opened", "switched_off"]
    assert kinds(["open", "away", "open", "off"]) == ["opened", "over", "opened", "switched_off"]
    assert kinds(["off", "off"]) == []


def test_more_rows_are_told_once_a_day_and_the_same_rows_never():
    assert kinds([3] * 800, cause="quarantine") == ["opened"]
    growing = list(range(1, 800))
    assert kinds(growing, Policy(None), cause="quarantine") == ["opened", "more", "more"]


ON = st.lists(st.sampled_from(["open", "away", "unknown"]), min_size=5, max_size=400)
STATES = ON | st.lists(st.sampled_from(["open", "away", "unknown", "off"]), max_size=400)


@settings(max_examples=150, deadline=None)
@given(states=STATES, reminder=st.sampled_from([None, timedelta(hours=1), DAY]), minutes=st.integers(1, 90))
def test_over_any_sequence_of_states_no_storm_and_no_end_without_a_beginning(states, reminder, minutes):
    every = timedelta(minutes=minutes)
    messages = looks(states, Policy(reminder), every=every)
    told = False
    for message in messages:
        assert (message.kind in {"still", "over", "switched_off"}) == told, messages
        told = message.kind not in {"over", "switched_off"}
    openings = [message.now for message in messages if message.kind == "opened"]
    ends = [message for message in messages if message.kind == "over"]
    lasts = len(states) * every
    if not any(state == "off" for state in states):
        assert len(openings) <= 2 * math.ceil(lasts / QUIET)
        assert all(third - first >= QUIET for first, third in zip(openings, openings[2:], strict=False))
    assert len(ends) <= len(openings)
    still = [message.now for message in messages if message.kind == "still"]
    assert reminder is not None or not still
    assert all(later - earlier >= reminder for earlier, later in pairwise(still))


@settings(max_examples=100, deadline=None)
@given(states=STATES)
def test_what_was_told_last_is_true_once_it_has_stayed_so_for_a_while(states):
    for state, last in (("open", {"opened", "still"}), ("away", {"over", "switched_off"})):
        messages = looks([*states, *[state] * 8])
        if messages or state == "open":
            assert messages[-1].kind in last


def test_the_state_survives_as_text():
    entry = Entry(NOW, NOW, 3, comes_back=True, away_since=NOW, over_at=None)
    state = State(NOW, NOW, {"failed": NOW}, {"email": {"quarantine": entry}, "apprise:1": {}})
    assert State.from_json(state.to_json()) == state
    assert State.from_json("{}") == State()
    for broken in ("", "[]", '{"open": {"nosuch": "2026-11-25T12:00:00Z"}}', '{"told": 3}'):
        with pytest.raises(ValueError, match=r"."):
            State.from_json(broken)


def test_since_when_is_the_first_time_as_long_as_it_stays_open():
    before = {"failed": NOW, "quarantine": NOW}
    later = Seen(NOW + DAY)
    assert opened(before, View({"failed": later})) == {"failed": NOW}
    assert opened(before, View({"unreadable": later}, frozenset(CAUSES[1:]))) == {**before, "unreadable": NOW + DAY}


# What a message says


@pytest.mark.parametrize("cause", CAUSES)
def test_a_message_says_what_happened_what_it_means_and_where_to_look(cause):
    detail = "It broke. <script> of aino.laine@nordwind.example, {{ 6 * 7 }}"
    seen = Seen(NOW - DAY, detail, "scheduled__1", newest=1)
    told = text_of(DEFAULT, Message("opened", cause, NOW - DAY, NOW, seen), LINK)
    assert told.subject == f"[Partner Center] default: {WORDINGS[cause].subject}"
    assert told.paragraphs[0] == WORDINGS[cause].happened
    assert told.paragraphs[2] == WORDINGS[cause].means
    assert told.paragraphs[-2:] == ("Since 2026-11-24 12:00 UTC, run scheduled__1.", LINK)
    assert "a***@nordwind.example" in told.body
    assert "aino.laine" not in told.body + told.html
    assert "&lt;script&gt;" in told.html
    assert (told.weight, "\n" in told.subject) == ("failure", False)


def test_an_end_says_how_long_it_lasted():
    begun = NOW - timedelta(minutes=25)
    told = text_of(Account("partner_center_emea"), Message("over", "failed", begun, NOW), LINK)
    assert told.subject == "[Partner Center] emea: over: sync succeeds again"
    assert "25 minutes, from 2026-11-25 11:35 UTC to 2026-11-25 12:00 UTC" in told.body
    assert told.weight == "success"
    off = text_of(DEFAULT, replace(Message("over", "failed", begun, NOW), kind="switched_off"), LINK)
    assert off.subject == "[Partner Center] default: switched off; was: sync failed"


def test_a_long_reason_is_cut():
    seen = Seen(NOW, "word " * 1_000)
    assert len(text_of(DEFAULT, Message("opened", "failed", NOW, NOW, seen), LINK).body) < 2_500


@pytest.mark.parametrize(
    ("minutes", "told"),
    [(-1, "0 minutes"), (1, "1 minute"), (119, "119 minutes"), (120, "2 hours"), (2879, "47 hours"), (2880, "2 days")],
)
def test_a_span_as_people_say_it(minutes, told):
    assert duration(timedelta(minutes=minutes)) == told
