"""What goes with a person who is erased from a row, and what stays."""

from __future__ import annotations

import json

import pytest

from partner_center.erased_people import ADDRESS, REFERRAL, ErasedPeople, fingerprint
from partner_center.erasure_request import Request
from partner_center.errors import ConfigurationError
from partner_center.exact_json import read_json, write_json
from partner_center.personal import Traces
from partner_center.ui.masking import masked

SALT = b"salt"
UWE = {"firstName": "Uwe", "lastName": "Lang", "email": "u.lang@contoso.com", "phoneNumber": "+49 521 12345"}
GONE = {"firstName": None, "lastName": None, "email": "erased@contoso.com", "phoneNumber": None}
ANN = {"firstName": "Ann", "lastName": "Lee", "email": "ann@contoso.com", "phoneNumber": "+49 521 12345"}


def erased(document):
    traces = Traces("u.lang@contoso.com".__eq__)
    traces.learn(document)
    return traces.erased(document)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([UWE, ANN], [GONE, ANN], id="a contact, and no colleague with the same phone"),
        pytest.param({**UWE, "email": "U.Lang@Contoso.com"}, {**GONE, "email": "erased@Contoso.com"}, id="any case"),
        pytest.param([UWE, {**UWE, "email": None}], [GONE, {**GONE, "email": None}], id="a contact without an address"),
        pytest.param([UWE, {**UWE, "email": "u.lang@fabrikam.com"}], [GONE, {**UWE, "email": "u.lang@fabrikam.com"}],
                     id="a namesake"),
        pytest.param({**UWE, "email": "Uwe Lang <u.lang@contoso.com>; ann@contoso.com"},
                     {**GONE, "email": "[erased] <erased@contoso.com>; ann@contoso.com"},
                     id="several addresses in one"),
        pytest.param({"team": UWE, "email": "u.lang@contoso.com", "name": "Lang GmbH"},
                     {"team": GONE, "email": "erased@contoso.com", "name": "Lang GmbH"}, id="a company is no contact"),
        pytest.param([UWE, "For Lang, Uwe", "uwe  LANG", "Uwe Langer", "Lang AG"],
                     [GONE, "For [erased]", "[erased]", "Uwe Langer", "Lang AG"], id="a name in other texts"),
        pytest.param([UWE, {"notes": "Uwe said: Lang calls from 0521-12345 or +49(521)12345, langer Weg"}],
                     [GONE, {"notes": "[erased] said: [erased] calls from 0521-12345 or [erased], langer Weg"}],
                     id="notes"),
        pytest.param(["xu.lang@contoso.com", "u.lang@contoso.com.", "mailto:u.lang@contoso.com?x"],
                     ["xu.lang@contoso.com", "erased@contoso.com.", "mailto:erased@contoso.com?x"],
                     id="whole addresses only"),
        pytest.param({**UWE, "phoneNumber": 4952112345, "id": 7, "is": True, "contactPreference": {"locale": "de"}},
                     {**GONE, "id": 7, "is": True, "contactPreference": {"locale": "de"}}, id="numbers and objects"),
    ],
)  # fmt: skip
def test_what_goes_and_what_stays(before, after):
    assert erased(before) == after
    assert erased(after) == after


def test_numbers_come_back_to_the_last_digit():
    text = '{"a": 12345678901234567890.123456789012345678, "b": [1.50, -2E+10, NaN, 3], "c": "4"}'
    assert write_json(read_json(text)) == text


def of(*values):
    return ErasedPeople((kind, fingerprint(kind, value, SALT), SALT) for kind, value in values)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(json.dumps({"id": "1", "team": [UWE]}).encode(), id="as it comes"),
        pytest.param(json.dumps({"id": "1", "team": [UWE]}).replace("@", "\\u0040").encode(), id="escaped"),
        pytest.param(json.dumps({"id": "1", "team": [UWE]}).encode()[:-1], id="cut"),
        pytest.param(json.dumps({"id": "1", "team": [UWE]}).encode() + b"\xff", id="no UTF-8"),
        pytest.param(b"[" * 100_000 + json.dumps(UWE).encode(), id="too deep"),
    ],
)
def test_a_row_loses_who_was_erased_whatever_its_shape(row):
    stripped = of((ADDRESS, "U.Lang@contoso.com")).strip(row)
    assert not [trace for trace in (b"lang", b"Lang", b"Uwe", b"12345") if trace in stripped]
    assert b"contoso" not in stripped or b"erased@contoso.com" in stripped


@pytest.mark.parametrize(
    "row",
    [
        json.dumps({"id": "1", "team": [ANN], "dealValue": 1.50}, indent=1).encode(),
        b'{"id": "1", "name": "\\u00fcber"}',
        b"\xff@\xff",
        b"{",
    ],
)
def test_a_row_of_others_stays_as_it_is_to_the_byte(row):
    assert of((ADDRESS, "u.lang@contoso.com"), (REFERRAL, "2")).strip(row) == row


@pytest.mark.parametrize("given", ['"2"', "2", '" 2 "'])
def test_a_row_of_an_erased_referral_loses_everybody(given):
    row = f'{{"id": {given}, "details": {{"notes": "x", "dealValue": 1.50}}, "team": {json.dumps([UWE, ANN])}}}'
    stripped = of((REFERRAL, "2")).strip(row.encode()).decode()
    assert "1.50" in stripped
    assert json.loads(stripped)["team"] == [GONE, GONE]
    assert json.loads(stripped)["details"]["notes"] == "[erased]"


def test_what_is_masked_on_the_pages_is_what_is_erased():
    assert masked({"team": [UWE], "details": {"notes": "x"}, "addressLine1": "y"}) == {
        "team": [dict.fromkeys(UWE, "***")],
        "details": {"notes": "***"},
        "addressLine1": "***",
    }


@pytest.mark.parametrize(
    ("address", "referral_id"),
    [(None, None), ("a@b.c", "1"), ("", None), ("contoso.com", None), ("a@b.c, d@e.f", None), (None, " "),
     ("erased@contoso.com", None)],
)  # fmt: skip
def test_a_request_that_names_nobody_is_refused(address, referral_id):
    with pytest.raises(ConfigurationError):
        Request(address, referral_id)


def test_a_request_shows_no_address():
    assert Request(" U.Lang@contoso.com\n").shown == "the person u***@contoso.com"
    assert Request(" U.Lang@contoso.com\n").value == "u.lang@contoso.com"
