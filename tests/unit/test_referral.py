"""A row becomes a referral or goes to the quarantine with its reason; nothing that a row can hold raises."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partner_center import referral
from partner_center.referral import LONGEST_ID, Quarantined, Referral, moment, parse

GOOD = {"id": "r-1", "direction": "Incoming", "status": "New"}
FIELDS = ["id", "direction", "status", "createdDateTime", "updatedDateTime", "expirationDateTime"]
FIELDS += ["details", "customerProfile", "anything"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text("\x00\ud83d\udc00 2-T:.éZ", max_size=12)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from("ab"), SCALARS, max_size=2)


def row(**changes):
    return json.dumps(GOOD | changes).encode()


def read(**changes):
    found = parse(row(**changes))
    assert isinstance(found, Referral)
    return found


def reason(raw):
    found = parse(raw)
    assert isinstance(found, Quarantined), found
    return found.reason


# Why a row cannot be stored


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'"text"', referral.NOT_AN_OBJECT),
        (b"null", referral.NOT_AN_OBJECT),
        (b"[]", referral.NOT_AN_OBJECT),
        (b"7", referral.NOT_AN_OBJECT),
        (b"true", referral.NOT_AN_OBJECT),
        (b'[{"id":"1"}]', referral.NOT_AN_OBJECT),
        (b"", referral.MALFORMED_JSON),
        (b"{", referral.MALFORMED_JSON),
        (b"nonsense", referral.MALFORMED_JSON),
        (b'{"id":"1",}', referral.MALFORMED_JSON),
        (b'{"id":"1"} {"id":"2"}', referral.MALFORMED_JSON),
        (b"{'id':'1'}", referral.MALFORMED_JSON),
        (b'{"id":"1","x":"\\u00"}', referral.MALFORMED_JSON),
        (b'{"id":"\\ud83d"', referral.MALFORMED_JSON),
        (b'{"id":"\xff"}', referral.INVALID_UTF8),
        (b'{"id":"1","x":"\xed\xa0\x80"}', referral.INVALID_UTF8),
        (b'{"id":"1","x":"a\\u0000b"}', referral.NUL_CHARACTER),
        (b'{"id":"1","\\u0000":1}', referral.NUL_CHARACTER),
        (b'{"id":"1","x":[{"y":"\\\\\\u0000"}]}', referral.NUL_CHARACTER),
        (b'{"id":"a\\u0000b"}', referral.NUL_CHARACTER),
        (b'{"id":"1","x":"cut \\ud83d here"}', referral.LONE_SURROGATE),
        (b'{"id":"1","x":"\\udc00"}', referral.LONE_SURROGATE),
        (b'{"id":"1","x":"\\uDC00\\uD83D"}', referral.LONE_SURROGATE),
        (b'{"id":"1","\\ud83d":1}', referral.LONE_SURROGATE),
        (b'{"id":"1","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", referral.NESTED_TOO_DEEP),
        (b'{"id":"1","n":"\\u0000","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", referral.NESTED_TOO_DEEP),
        (b"{}", referral.NO_ID),
        (b'{"id":null}', referral.NO_ID),
        (b'{"id":""}', referral.NO_ID),
        (b'{"id":"  \\t\\n"}', referral.NO_ID),
        (b'{"id":true}', referral.NO_ID),
        (b'{"id":1.5}', referral.NO_ID),
        (b'{"id":{"value":"1"}}', referral.NO_ID),
        (b'{"id":["1"]}', referral.NO_ID),
        (b'{"ID":"1"}', referral.NO_ID),
        (json.dumps({"id": "x" * (LONGEST_ID + 1)}).encode(), referral.ID_TOO_LONG),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_each_reason_is_named(raw, expected):
    assert reason(raw) == expected


@pytest.mark.parametrize("raw", [b'{"x":"\\u0000"}', b"null", b"{", '{"name":"Grüße"}'.encode()])
def test_the_quarantine_keeps_the_text(raw):
    assert parse(raw).raw == raw.decode()


def test_the_quarantine_keeps_bytes_that_are_no_text_readable():
    assert parse(b'{"id":"\xff1"}').raw == '{"id":"\\xff1"}'


@pytest.mark.parametrize(
    "text",
    [
        r'"\\u0000"',
        r'"\\\\u0000 and \\ud83d"',
        r'"\ud83d\ude80 launch"',
        r'"\uD83D\uDE80"',
        r'"\uD83D\uDE80 \\ud83d"',
        r'"\u0001\u001f"',
        '"🚀"',
    ],
)
def test_what_only_looks_like_nul_or_half_a_pair_is_stored(text):
    raw = b'{"id":"1","x":' + text.encode() + b"}"
    found = parse(raw)
    assert isinstance(found, Referral)
    assert found.payload == raw.decode()


@settings(max_examples=60, deadline=None)
@given(text=st.text('\\u0d83e"\x00\ud83d\udc00\U0001f680a', max_size=12))
@example(text="\\u0000")
@example(text="\ud83d\udc00")
@example(text="\udc00\ud83d")
def test_a_string_is_refused_exactly_when_postgresql_would_refuse_it(text):
    raw = json.dumps({"id": "1", "x": text}).encode()
    means = json.loads(raw)["x"]
    storable = "\x00" not in means and not any("\ud800" <= each <= "\udfff" for each in means)
    assert isinstance(parse(raw), Referral) is storable


# Whatever comes


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=120) | st.text(alphabet='{}[]",:\\u0d8eid1.', max_size=60).map(str.encode))
def test_no_bytes_raise(raw):
    assert isinstance(parse(raw), Referral | Quarantined)


@settings(max_examples=50, deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from(FIELDS),
        VALUES
        | st.fixed_dictionaries({"dealValue": VALUES, "closingDateTime": VALUES})
        | st.fixed_dictionaries({"team": VALUES, "ids": VALUES}),
    )
)
def test_no_value_of_a_wrong_type_raises(fields):
    raw = json.dumps(fields).encode()
    found = parse(raw)
    if isinstance(found, Referral):
        assert found.payload == raw.decode()
        assert 0 < len(found.referral_id) <= LONGEST_ID
        assert 0 <= found.updated_tick <= 9
        assert found.deal_value is None or Decimal(found.deal_value).is_finite()
        assert all(isinstance(each, str | None) for each in (found.direction, found.status))


# Ids, and what filter compares


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5a0e2b54-0000-4000-8000-00000000000a", "5a0e2b54-0000-4000-8000-00000000000a"),
        ("  padded\n", "padded"),
        ("not-a-guid", "not-a-guid"),
        (12345, "12345"),
        (0, "0"),
        ("x" * LONGEST_ID, "x" * LONGEST_ID),
        ("ID with 東京", "ID with 東京"),
    ],
)
def test_an_id_is_a_text_or_a_whole_number(value, expected):
    assert read(id=value).referral_id == expected


@pytest.mark.parametrize("value", [None, 3, True, [], {}, ["Incoming"]])
def test_direction_and_status_of_another_type_are_missing(value):
    found = read(direction=value, status=value)
    assert (found.direction, found.status) == (None, None)


def test_missing_fields_mean_null():
    found = parse(b'{"id":"1"}')
    absent = (found.direction, found.status, found.created_at, found.updated_at, found.expires_at, found.closing_at)
    assert absent == (None,) * 6
    assert (found.updated_tick, found.deal_value, found.hints) == (0, None, [])


@pytest.mark.parametrize("block", [None, [], "text", 7, True, [1], {}])
def test_a_block_of_another_shape_is_passed_over(block):
    found = read(details=block, customerProfile=block, createdDateTime="2026-01-02T03:04:05Z")
    assert (found.deal_value, found.closing_at, found.hints) == (None, None, [])
    assert found.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_hints_come_from_the_customer_profile():
    found = read(customerProfile={"team": [{"email": "a@contoso.example"}], "ids": [{"id": "b.example"}]})
    assert found.hints == [("email", "a@contoso.example"), ("profile_id", "b.example")]


def test_the_content_hash_is_that_of_the_bytes():
    assert parse(b'{"id":"1"}').content_hash == parse(b'{"id":"1"}').content_hash
    assert parse(b'{"id":"1"}').content_hash != parse(b'{"id": "1"}').content_hash
    assert len(parse(b'{"id":"1"}').content_hash) == 16


def test_a_name_that_is_given_twice_keeps_the_row():
    assert isinstance(parse(b'{"id":"1","id":"2","details":{"dealValue":1},"details":null}'), Referral)


# Times


@pytest.mark.parametrize(
    ("text", "microsecond", "tick"),
    [
        ("2026-10-05T06:07:08Z", 0, 0),
        ("2026-10-05T06:07:08.1Z", 100_000, 0),
        ("2026-10-05T06:07:08.12Z", 120_000, 0),
        ("2026-10-05T06:07:08.123Z", 123_000, 0),
        ("2026-10-05T06:07:08.1234Z", 123_400, 0),
        ("2026-10-05T06:07:08.12345Z", 123_450, 0),
        ("2026-10-05T06:07:08.123456Z", 123_456, 0),
        ("2026-10-05T06:07:08.1234567Z", 123_456, 7),
        ("2026-10-05T06:07:08.0000009Z", 0, 9),
        ("2026-10-05T08:07:08.1234567+02:00", 123_456, 7),
    ],
)
def test_a_time_of_any_precision_is_read_and_its_seventh_digit_kept(text, microsecond, tick):
    found = read(updatedDateTime=text)
    assert found.updated_at == datetime(2026, 10, 5, 6, 7, 8, microsecond, tzinfo=UTC)
    assert found.updated_tick == tick


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-05T08:07:08+02:00", datetime(2026, 10, 5, 6, 7, 8, tzinfo=UTC)),
        ("2026-10-05T06:07:08", datetime(2026, 10, 5, 6, 7, 8, tzinfo=UTC)),
        (" 2026-10-05T06:07:08Z ", datetime(2026, 10, 5, 6, 7, 8, tzinfo=UTC)),
        ("9999-12-31T23:59:59.9999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-10-05T25:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1_790_000_000, None),
        (["2026-10-05T06:07:08Z"], None),
    ],
)
def test_a_time_is_utc_or_nothing(text, expected):
    assert moment(text) == expected


@settings(max_examples=40, deadline=None)
@given(
    time=st.datetimes(min_value=datetime(2, 1, 2), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001
    hours=st.integers(-14, 14),
)
def test_a_time_of_any_zone_is_read_as_the_same_instant(time, hours):
    zone = f"{'-' if hours < 0 else '+'}{abs(hours):02d}:00"
    assert moment(time.isoformat() + zone) == (time - timedelta(hours=hours)).replace(tzinfo=UTC)


# Numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12500.5", "12500.5"),
        ("12500.50", "12500.50"),
        ('"12500.50"', "12500.50"),
        ("0.1", "0.1"),
        ("-1", "-1"),
        ("0", "0"),
        ("10000.10", "10000.10"),
        ("123456789012345678901234567890.12", "123456789012345678901234567890.12"),
        ("0.12345678901234567890123456789", "0.12345678901234567890123456789"),
        ("1.25E+5", "1.25E+5"),
        ('" 7 "', "7"),
        ('"+7"', "+7"),
        ("1e400", None),
        ('"12.500,50"', None),
        ('"about 10k"', None),
        ('"1,000"', None),
        ('"NaN"', None),
        ('"Infinity"', None),
        ('"0x10"', None),
        ('"\\u0661"', None),
        ('"١٢"', None),
        ('"7\\n"', None),
        ('""', None),
        ("null", None),
        ("true", None),
        ("[1]", None),
        ('{"value":1}', None),
    ],
)
def test_a_deal_value_is_exact_or_nothing(text, expected):
    # What msgspec refuses, and json does not, sends the row the slow way, which must read the same.
    for more in ("", ',"big":NaN'):
        for closing in ('"2027-01-31T00:00:00Z"', '"x"', "[]"):
            details = f'{{"dealValue":{text},"closingDateTime":{closing}}}'
            found = parse(f'{{"id":"1","details":{details}{more}}}'.encode())
            assert isinstance(found, Referral)
            assert found.deal_value == expected


@settings(max_examples=50, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**50), max_value=10**50, places=9))
def test_a_deal_value_never_goes_through_a_float(value):
    found = parse(b'{"id":"1","details":{"dealValue":' + f"{value:f}".encode() + b"}}")
    assert Decimal(found.deal_value) == value
