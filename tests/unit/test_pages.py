"""A page is cut into its rows whatever stands in them; what is no page is said to be none."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partner_center.pages import GarbledPage, _scan_page, split_page

LINK = "https://api.partner.example/v1.0/engagements/referrals?$skiptoken=b%2fc%3d"
TEXTS = st.text(max_size=8) | st.text('[]{},:"\\ \n', max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
LISTS = st.lists(SCALARS, max_size=3)
VALUES = SCALARS | LISTS | st.dictionaries(TEXTS, SCALARS | LISTS, max_size=3)
LONE_SURROGATE = rb'{"id":"2","name":"cut \ud83d here"}'
DEEP = b'{"id":"3","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"


def page(*rows, link=LINK):
    return b'{"@odata.count":3,"value":[' + b",".join(rows) + b'],"@odata.nextLink":"' + link.encode() + b'"}'


def same(row, value):
    """Compare by type too: 1, 1.0 and true are three values."""
    return json.dumps(json.loads(row), sort_keys=True) == json.dumps(value, sort_keys=True)


# Any valid page


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(VALUES, max_size=5),
    before=st.dictionaries(TEXTS, VALUES, max_size=2),
    link=st.none() | TEXTS | st.integers(),
    link_first=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
@example([{"value": [1, 2]}, "],[", '\\"]'], {"a": {"value": [9]}}, "x", True, 2, True)
def test_both_ways_of_splitting_agree_with_json(rows, before, link, link_first, indent, ascii_only):
    linked = {"@odata.nextLink": link}
    envelope = {**before, **(linked if link_first else {}), "value": rows, **({} if link_first else linked)}
    body = json.dumps(envelope, indent=indent, ensure_ascii=ascii_only).encode()
    expected = json.loads(body, strict=False)
    for split in (split_page, _scan_page):
        found = split(body)
        assert found.next_link == expected["@odata.nextLink"]
        assert len(found.rows) == len(rows)
        assert all(map(same, found.rows, expected["value"]))


@pytest.mark.parametrize("split", [split_page, _scan_page])
@pytest.mark.parametrize(
    ("body", "rows", "link"),
    [
        (b'{"value":[]}', [], None),
        (b'{"value":[],"@odata.nextLink":null}', [], None),
        (b'{"value":[],"@odata.nextLink":"n"}', [], "n"),
        (b'{"@odata.nextLink":"n","value":[1]}', [b"1"], "n"),
        (b'{"value":[1],"@odata.nextLink":"n"}', [b"1"], "n"),
        (b'{"value":[1],"@odata.nextLink":["n"]}', [b"1"], ["n"]),
        (b'{"other":{"value":[8,9]},"value":[1]}', [b"1"], None),
        (b'{"other":["value"],"value":[1]}', [b"1"], None),
        (b'{"other":"value","x":[7],"value":[1]}', [b"1"], None),
        (b' \n{ "value" : [ 1 , {"a": [2]} ] }\r\n', [b"1", b'{"a": [2]}'], None),
        (b'{"value":[{"a":"]}"},{"b":"\\"]"},{"c":"\\\\"}]}', [b'{"a":"]}"}', b'{"b":"\\"]"}', b'{"c":"\\\\"}'], None),
        (b'{"value":[[],[[]],{}]}', [b"[]", b"[[]]", b"{}"], None),
    ],
)
def test_rows_and_link_are_found_in_every_spelling(split, body, rows, link):
    found = split(body)
    assert (found.rows, found.next_link) == (rows, link)


def test_a_row_is_handed_on_byte_for_byte():
    odd = b'{ "id" :\t"1", "n":1.50e+03, "u":"\\u00e9\xc3\xa9" }'
    assert split_page(page(odd)).rows == [odd]


def test_a_huge_page_is_split_whole():
    rows = [b'{"id":"%d","notes":"%s"}' % (number, b"n" * 2_000) for number in range(1_000)]
    assert split_page(page(*rows)).rows == rows


# One bad row


@pytest.mark.parametrize(
    "bad",
    [
        LONE_SURROGATE,
        DEEP,
        b'{"id":"2","notes":"\xff\xfe"}',
        b'{"id":"2","notes":"tab\tand\nline"}',
        b'{"id":"2","n":NaN}',
        b'{"id":"2","n":01}',
        b'{"id":"2",}',
        b'{"id" "2"}',
        b"{id:2}",
        b"nonsense",
        b'{"id":"2","x":"\\q"}',
    ],
    ids=lambda bad: repr(bad[:24]),
)
def test_a_bad_row_costs_only_itself(bad):
    before, after = b'{"id":"1","name":"[{,"}', b'{"id":"4","team":[{"email":"a@b.example"}]}'
    found = split_page(page(before, bad, after))
    assert found.rows == [before, bad, after]
    assert found.next_link == LINK


def test_the_next_link_before_a_bad_row_is_found():
    body = b'{"@odata.nextLink":"n","value":[' + LONE_SURROGATE + b"]}"
    assert split_page(body) == type(split_page(body))([LONE_SURROGATE], "n")


def test_a_value_inside_another_block_is_not_taken_for_the_rows():
    body = b'{"meta":{"value":[8]},"value":[' + LONE_SURROGATE + b"]}"
    assert split_page(body).rows == [LONE_SURROGATE]


# No page


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"[1,2]",
        b'"value"',
        b"{}",
        b'{"value":null}',
        b'{"value":{}}',
        b'{"value":"[1]"}',
        b'{"items":[1]}',
        b'{"error":{"code":"x"}}',
        b"<!DOCTYPE html><html><body>[sign in]</body></html>",
        b'<html>{"value":[1]}</html>',
        b'{"value":[{"id":"1"}',
        b'{"value":[{"id":"1"},{"id',
        b'{"value":[{"id":"1"}]',
        b'{"value":[1],"@odata.nextLink":"cut',
        b'{"value":[1]} trailing',
        b'{"value":[1]}{"value":[2]}',
        b'["x",{"value":[1]}]',
    ],
)
def test_what_is_no_page_is_refused(body):
    with pytest.raises(GarbledPage):
        split_page(body)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(VALUES, min_size=1, max_size=3), part=st.floats(0, 1, exclude_max=True))
def test_a_page_that_is_cut_anywhere_is_refused(rows, part):
    body = json.dumps({"value": rows, "@odata.nextLink": LINK}).encode()
    with pytest.raises(GarbledPage):
        split_page(body[: int(len(body) * part)])


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ valuex1', max_size=60).map(str.encode))
@example(body=b'{"value":' * 3)
def test_any_bytes_are_split_or_refused(body):
    try:
        rows = split_page(body).rows
    except GarbledPage:
        return
    assert all(isinstance(row, bytes) for row in rows)
