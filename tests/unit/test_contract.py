"""What the API sends and this package does not know is found, and the row is taken all the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partner_center.contract import CUSTOMER_FIELDS, DETAILS_FIELDS, FIELDS, LONGEST_VALUE, VALUES, Drift
from partner_center.referral import Referral, parse
from simulator.data import load

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)


def drift(**row):
    found = parse(json.dumps({"id": "x"} | row).encode())
    assert isinstance(found, Referral)
    return set(found.drift)


def test_a_referral_as_documented_holds_nothing_unknown():
    for row in load("disaster"):
        assert parse(row.text).drift == ()
    assert drift(**dict.fromkeys(FIELDS - {"id", *VALUES}, None)) == set()


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"newField": 1}, {("field", "", "newField")}),
        ({"customerProfile": {"website": "x"}}, {("field", "customerProfile", "website")}),
        ({"details": {"closeDate": "x", "dealValue": 1}}, {("field", "details", "closeDate")}),
        ({"status": "Paused"}, {("value", "status", "Paused")}),
        ({"status": "new"}, {("value", "status", "new")}),
        ({"substatus": 7, "type": ["Shared"]}, {("value", "substatus", "<int>"), ("value", "type", "<list>")}),
        ({"direction": None, "details": None, "customerProfile": []}, set()),
        ({"details": "text", "another": {}}, {("field", "", "another")}),
    ],
)
def test_what_is_not_documented_is_named(row, found):
    assert drift(**row) == found


@given(NAMES)
def test_any_unknown_name_is_found_at_each_place(name):
    known = FIELDS | CUSTOMER_FIELDS | DETAILS_FIELDS
    if name not in known:
        row = {name: 1, "details": {name: 1}, "customerProfile": {name: 1}}
        cut = name[:LONGEST_VALUE]
        assert drift(**row) == {Drift("field", path, cut) for path in ("", "details", "customerProfile")}


@given(st.sampled_from(list(VALUES)), NAMES)
def test_any_unknown_value_is_found(field, value):
    expected = set() if value in VALUES[field] else {Drift("value", field, value)}
    assert drift(**{field: value}) == expected


def test_long_names_and_values_are_cut():
    assert drift(**{"n" * 500: 1, "status": "s" * 500}) == {
        Drift("field", "", "n" * LONGEST_VALUE),
        Drift("value", "status", "s" * LONGEST_VALUE),
    }


def test_an_unknown_field_does_not_change_how_the_row_is_read():
    row = load("disaster")[0].value()
    plain, odd = parse(json.dumps(row).encode()), parse(json.dumps(row | {"newField": [1]}).encode())
    for name in ("referral_id", "status", "updated_at", "updated_tick", "deal_value", "closing_at", "hints"):
        assert getattr(plain, name) == getattr(odd, name)
