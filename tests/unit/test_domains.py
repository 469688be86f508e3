"""The rules of partner_center.domains, as tables of cases and as properties."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partner_center import domains
from partner_center.domains import (
    MAX_HINTS,
    MAX_TEXT,
    SPECIAL_USE_TLDS,
    Candidate,
    CustomerDomain,
    DomainExtractor,
    Hint,
    hints,
)

CONSUMER_FILE = Path(domains.__file__).with_name("data") / "consumer_mail_domains.txt"
CONSUMER_LINES = [line for line in CONSUMER_FILE.read_text().splitlines() if not line.startswith("#")]
EXTRACTOR = DomainExtractor()


def verdict(*values, source="email"):
    return EXTRACTOR.extract([(source, value) for value in values])


# Reading a customer profile


@pytest.mark.parametrize("profile", [None, [], "text", 7, True, {}, {"team": None, "ids": None}])
def test_a_profile_without_hints_gives_none(profile):
    assert hints(profile) == []


@pytest.mark.parametrize(
    ("team", "expected"),
    [
        ([{"email": "a@one.example"}, {"email": "b@two.example"}], ["a@one.example", "b@two.example"]),
        ({"email": "a@one.example"}, ["a@one.example"]),
        ([None, "a@one.example", 3, ["x"], {}, {"email": "b@two.example"}], ["b@two.example"]),
        ([{"email": None}, {"email": " "}, {"email": 5}, {"email": ["x"]}], []),
        ([{"email": " a@one.example\t"}, {"email": "a@one.example"}], ["a@one.example"]),
        ("a@one.example", []),
    ],
)
def test_team_may_be_a_list_an_object_or_anything(team, expected):
    assert hints({"team": team}) == [Hint("email", value) for value in expected]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({}, []),
        ([], []),
        ({"External": "1-AB12CDE", "Duns": ""}, ["1-AB12CDE"]),
        ([{"profileType": "Duns", "id": "000000018"}, {"profileType": "External"}], ["000000018"]),
        ([None, "contoso.com", {"id": 18}, {"id": None}], []),
        ("contoso.com", []),
    ],
)
def test_ids_have_three_shapes(ids, expected):
    assert hints({"ids": ids}) == [Hint("profile_id", value) for value in expected]


def test_website_fields_are_found_in_any_case_and_in_a_fixed_order():
    fields = {
        "DomainName": "g.example",
        "domain": "f.example",
        "homePage": ["d.example", None, "e.example"],
        "URL": "c.example",
        "websiteUrl": "b.example",
        "webSite": "a.example",
        "name": "h.example",
    }
    assert [hint.value[0] for hint in hints(fields)] == list("abcdefg")
    assert {hint.source for hint in hints(fields)} == {"website"}


def test_hints_stand_in_the_order_team_ids_website():
    profile = {"website": "w", "ids": [{"id": "i"}], "team": [{"email": "e"}]}
    assert hints(profile) == [("email", "e"), ("profile_id", "i"), ("website", "w")]


def test_hints_are_distinct_before_they_are_capped():
    team = [{"email": "same@one.example"}] * 500 + [{"email": f"a@b{i}.example"} for i in range(500)]
    found = hints({"team": team})
    assert len(found) == len(set(found)) == MAX_HINTS
    assert found[:2] == [("email", "same@one.example"), ("email", "a@b0.example")]


def test_the_extractor_caps_distinct_hints_too():
    given_hints = [["email", "a@gmail.com"]] * 500 + [["email", f"a@b{i}.example"] for i in range(MAX_HINTS + 9)]
    assert len(EXTRACTOR.extract(given_hints).candidates) == MAX_HINTS - 1


def test_a_text_too_long_to_be_valid_is_cut_and_stays_invalid():
    website = "https://contoso.com/" + "x" * MAX_TEXT
    (hint,) = hints({"website": website})
    assert len(hint.value) == MAX_TEXT + 1
    assert EXTRACTOR.extract([hint]).missing_reason == "invalid"
    assert verdict(website[:MAX_TEXT], source="website").domain == "contoso.com"


# Addresses

PRIVATE_NAMES = [
    *("alt", "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain"),
    *("localhost", "onion", "private"),
]

BUSINESS_ADDRESSES = [
    ("jane@contoso.com", "contoso.com"),
    ("JANE@CONTOSO.COM", "contoso.com"),
    ("jane@mail.eu.contoso.co.uk", "contoso.co.uk"),
    ("jane+referrals@contoso.com", "contoso.com"),
    ("jane@contoso.com.", "contoso.com"),
    ("  jane@contoso.com\n", "contoso.com"),
    ('"a b"@contoso.com', "contoso.com"),
    ('"a;b,c<d"@contoso.com', "contoso.com"),
    ('"a@b"@contoso.com', "contoso.com"),
    ("Jane Doe <jane@contoso.com>", "contoso.com"),
    ('"Doe, Jane" <jane@contoso.com>', "contoso.com"),
    ("Doe, Jane <jane@contoso.com>", "contoso.com"),
    ('"x@fabrikam.com; Doe" <jane@contoso.com>', "contoso.com"),
    ("jane@fabrikam.com <jane@contoso.com>", "contoso.com"),
    ("mailto:jane@contoso.com", "contoso.com"),
    ("MAILTO:jane@contoso.com?subject=a@b.com", "contoso.com"),
    ("n/a; jane@contoso.com", "contoso.com"),
    ("'jane@contoso.com'", "contoso.com"),
    ("(jane@contoso.com)", "contoso.com"),
    ("\ufeffjane@contoso.com\u200b", "contoso.com"),
    ("jane@müller.de", "xn--mller-kva.de"),
    ("jane@MÜLLER.de", "xn--mller-kva.de"),
    ("jane@mu\u0308ller.de", "xn--mller-kva.de"),
    ("jane@mail.xn--mller-kva.de", "xn--mller-kva.de"),
    ("jane@faß.de", "xn--fa-hia.de"),
    ("jané@contoso.com", "contoso.com"),
    ("иван@почта.рф", "xn--80a1acny.xn--p1ai"),
    ("jane@contoso。co。uk", "contoso.co.uk"),
    ("jane@a.nordwind.example", "nordwind.example"),
    ("jane@nordwind.test", "nordwind.test"),
    ("jane@nordwind.unknowntld", "nordwind.unknowntld"),
    ("jane@" + "a" * 63 + ".com", "a" * 63 + ".com"),
    ("jane@3m.com", "3m.com"),
    ("jane@city.kawasaki.jp", "city.kawasaki.jp"),
]


@pytest.mark.parametrize(("address", "domain"), BUSINESS_ADDRESSES)
def test_an_address_gives_its_registrable_domain(address, domain):
    assert verdict(address) == CustomerDomain(domain, "email", "linked", None, (Candidate(domain, "email"),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@contoso.com; b@fabrikam.com", ["contoso.com", "fabrikam.com"]),
        ("a@contoso.com,b@fabrikam.com", ["contoso.com", "fabrikam.com"]),
        ("a@contoso.com b@fabrikam.com", ["contoso.com", "fabrikam.com"]),
        ("a@contoso.com; Bob <b@fabrikam.com>; x", ["contoso.com", "fabrikam.com"]),
        ("A <a@contoso.com>, B <b@fabrikam.com>", ["contoso.com", "fabrikam.com"]),
        ("a@contoso.com; a@localhost; b@eu.contoso.com", ["contoso.com"]),
    ],
)
def test_a_field_with_several_addresses_gives_all_of_them(text, expected):
    assert [candidate.domain for candidate in verdict(text).candidates] == expected


@pytest.mark.parametrize(
    "address",
    [
        "user@[192.168.1.1]",
        "user@[IPv6:2001:db8::1]",
        "user@192.168.1.1",
        "user@10.0.0.0x1",
        "user@contoso.c0m",
        "user@localhost",
        "user@contoso",
        "user@test",
        *(f"user@contoso.{tld}" for tld in PRIVATE_NAMES),
        *(f"user@müller.{tld}" for tld in PRIVATE_NAMES),
        "user@co.uk",
        "user@com",
        "user@foo.ck",
        "user@onmicrosoft.com",
        "user@mail.onmicrosoft.com",
        "user@",
        "@contoso.com",
        "contoso.com",
        "n/a",
        "user@@contoso.com",
        "user@a@contoso.com",
        "user.@contoso.com",
        "us..er@contoso.com",
        "user@-contoso.com",
        "user@contoso-.com",
        "user@con..toso.com",
        "user@con_toso.com",
        "user@ab--contoso.com",
        "user@xn--a.com",
        "user\uff20contoso.com",
        "a b@",
        "user@" + "a" * 64 + ".com",
        "a" * 250 + "@contoso.com",
        "a" * 400 + "@contoso.com",
        "user@contoso.com" + ";" * MAX_TEXT,
        "\ud800@contoso.com",
        "user@con\x00toso.com",
    ],
)
def test_what_is_no_public_domain_is_invalid(address):
    assert verdict(address) == CustomerDomain(None, None, "unlinked", "invalid", ())


# The public suffix list's private section


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("user@foo.github.io", "foo.github.io"),
        ("user@a.foo.github.io", "foo.github.io"),
        ("user@github.io", "github.io"),
        ("user@blogspot.com", "blogspot.com"),
        ("user@s3.amazonaws.com", "amazonaws.com"),
        ("user@barsy.co.uk", "barsy.co.uk"),
        ("user@tenant1.onmicrosoft.com", "tenant1.onmicrosoft.com"),
        ("user@tenant1.mail.onmicrosoft.com", "tenant1.mail.onmicrosoft.com"),
        ("user@tenant1.onmicrosoft.us", "tenant1.onmicrosoft.us"),
        ("user@tenant1.partner.onmschina.cn", "tenant1.partner.onmschina.cn"),
    ],
)
def test_tenants_of_a_shared_domain_are_kept_apart(address, domain):
    assert verdict(address).domain == domain


# Ids and websites


@pytest.mark.parametrize(
    "value",
    [
        "1-AB12CDE",
        "000000018",
        "12.345.678",
        "3F2504E0-4F89-11D3-9A0C-0305E82C3301",
        "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
        "Contoso Ltd.",
        "contoso",
        "10.0.0.1",
        "AB.12C",
        "v1.2",
        "urn:contoso:1.x",
        "",
        "  ",
    ],
)
def test_an_opaque_id_counts_as_nothing_given(value):
    assert verdict(value, source="profile_id").missing_reason == "no_email"


@pytest.mark.parametrize("source", ["profile_id", "website"])
@pytest.mark.parametrize(
    ("value", "domain"),
    [
        ("https://www.contoso.com/about?x=a@b.com", "contoso.com"),
        ("HTTPS://WWW.CONTOSO.COM:8443", "contoso.com"),
        ("//contoso.com", "contoso.com"),
        ("www.contoso.co.uk", "contoso.co.uk"),
        ("contoso.com/partners", "contoso.com"),
        ("contoso.com:8080", "contoso.com"),
        ("contoso.com.", "contoso.com"),
        ("jane@contoso.com", "contoso.com"),
        ("https://user:secret@contoso.com/", "contoso.com"),
        (r"https://contoso.com\@fabrikam.com", "contoso.com"),
        ("https://müller.de/impressum", "xn--mller-kva.de"),
        ("MÜLLER.DE", "xn--mller-kva.de"),
        ("XN--MLLER-KVA.DE", "xn--mller-kva.de"),
        ("президент.рф", "xn--d1abbgf6aiiy.xn--p1ai"),
        ("shop.XN--80A1ACNY.XN--P1AI", "xn--80a1acny.xn--p1ai"),
        ("https://contoso.sharepoint.com/sites/x", "contoso.sharepoint.com"),
    ],
)
def test_an_id_or_website_that_names_a_host_gives_its_domain(source, value, domain):
    assert verdict(value, source=source) == CustomerDomain(domain, source, "linked", None, (Candidate(domain, source),))


@pytest.mark.parametrize("source", ["profile_id", "website"])
@pytest.mark.parametrize(
    "value",
    [
        "http://10.0.0.1",
        "http://[2001:db8::1]/",
        "http://[2001:db8::1",
        "http://localhost:8080",
        "http://",
        "file:///etc/hosts",
        "intranet.contoso.local",
        "https://co.uk",
        "https://con_toso.com",
        "https://con toso.com",
    ],
)
def test_a_url_without_a_public_domain_is_invalid(source, value):
    assert verdict(value, source=source).missing_reason == "invalid"


# The verdict


@pytest.mark.parametrize(
    ("given_hints", "expected"),
    [
        ([], (None, None, "unlinked", "no_email")),
        ([("email", ""), ("profile_id", "1-AB12CDE")], (None, None, "unlinked", "no_email")),
        ([("email", "a@gmail.com")], (None, None, "unlinked", "consumer_only")),
        ([("email", "n/a"), ("email", "a@gmail.com")], (None, None, "unlinked", "consumer_only")),
        ([("email", "n/a"), ("profile_id", "1-AB")], (None, None, "unlinked", "invalid")),
        ([("email", "a@gmail.com"), ("website", "contoso.com")], ("contoso.com", "website", "linked", None)),
        (
            [("email", "a@contoso.com"), ("email", "b@eu.contoso.com")],
            ("contoso.com", "email", "linked", None),
        ),
        ([("email", "a@b.com"), ("website", "c.com")], ("b.com", "email", "multi_candidate", None)),
    ],
)
def test_the_status_and_the_reason_follow_from_all_hints(given_hints, expected):
    found = EXTRACTOR.extract(given_hints)
    assert (found.domain, found.source, found.link_status, found.missing_reason) == expected


def test_candidates_are_distinct_in_order_with_the_source_of_the_first_appearance():
    found = EXTRACTOR.extract(
        [Hint("email", "a@b.com"), ["profile_id", "c.com"], ("website", "www.b.com"), ("website", "c.com")]
    )
    assert found.candidates == (Candidate("b.com", "email"), Candidate("c.com", "profile_id"))


# Consumer providers


def test_the_bundled_list_is_sorted_unique_lower_case_ascii():
    assert sorted(set(CONSUMER_LINES)) == CONSUMER_LINES
    assert all(line.isascii() and line == line.strip().lower() for line in CONSUMER_LINES)
    assert 300 <= len(CONSUMER_LINES) <= 900


def test_every_line_of_the_bundled_list_is_reached():
    missed = [x for x in CONSUMER_LINES if verdict(f"user@{x}").missing_reason != "consumer_only"]
    assert missed == []


@pytest.mark.parametrize(
    "provider",
    [
        *("gmail.com", "googlemail.com", "outlook.de", "hotmail.co.uk", "live.fr", "msn.com", "yahoo.co.jp"),
        *(
            "icloud.com",
            "aol.com",
            "gmx.at",
            "web.de",
            "t-online.de",
            "orange.fr",
            "laposte.net",
            "libero.it",
        ),
        *("ziggo.nl", "telenet.be", "bluewin.ch", "proton.me", "tuta.com", "fastmail.com", "hey.com"),
        *("zoho.com", "yandex.ru", "mail.ru", "qq.com", "163.com", "naver.com", "docomo.ne.jp", "mynet.com"),
        *("rediffmail.com", "uol.com.br", "seznam.cz", "wp.pl", "comcast.net", "btinternet.com", "shaw.ca"),
        *("bigpond.com", "xtra.co.nz", "i.softbank.jp", "mail.gmail.com", "GMAIL.COM.", "me.user.fm"),
    ],
)
def test_a_well_known_provider_is_consumer(provider):
    assert verdict(f"user@{provider}").missing_reason == "consumer_only"


@pytest.mark.parametrize("company", ["facebook.com", "example.com", "alibaba.com", "notgmail.com", "gmail.com.example"])
def test_a_company_that_gives_no_mailboxes_is_business(company):
    assert verdict(f"user@{company}").link_status == "linked"


@pytest.mark.parametrize("entry", ["isp.example", " Mail.ISP.example. ", "https://isp.example/", "user@isp.example"])
def test_extra_consumer_domains_follow_the_same_rules(entry):
    assert DomainExtractor(["", entry]).extract([("email", "a@mx.isp.example")]).missing_reason == "consumer_only"
    assert verdict("a@mx.isp.example").domain == "isp.example"


@pytest.mark.parametrize("entry", ["co.uk", "localhost", "not a domain", "10.0.0.1"])
def test_an_extra_consumer_domain_that_could_never_match_is_refused(entry):
    with pytest.raises(ValueError, match="not a domain"):
        DomainExtractor([entry])


# Properties

WORD = st.text("ab9-._+'", min_size=1, max_size=12)
LABEL = st.one_of(st.text("aZ09-", min_size=1, max_size=8), st.sampled_from(["xn--mller-kva", "a" * 63, "a" * 64]))
TLD = st.sampled_from(["com", "co.uk", "example", "test", "local", "onion", "x", "c0m", "github.io", "ck"])
ADDRESS = st.builds(lambda w, ls, t: f"{w}@{'.'.join([*ls, t])}", WORD, st.lists(LABEL, max_size=4), TLD)


PLAIN = st.builds(
    lambda w, ls, t: f"{w}@{'.'.join([*ls, t])}",
    st.text("aZ09!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=20),
    st.lists(st.sampled_from(["a", "Zz", "0", "9-a", "a-b-c", "b" * 28]), min_size=1, max_size=4),
    TLD,
)


def fast_and_slow(text):
    """Return what the two ways make of a text: the fast one is None when it does not apply."""
    fast = domains._PLAIN_ADDRESS.fullmatch(text)
    slow = domains._validated_host(text)
    judge = domains._registrable.__wrapped__
    return (fast and (fast[1].lower(), judge(fast[1].lower()))), (slow, slow and judge(slow))


@given(st.one_of(ADDRESS, PLAIN))
@example("a" * 242 + "@contoso.com")
@example("a" * 243 + "@contoso.com")
@example("a@" + "b" * 59 + ".com")
@example("a@" + "b" * 60 + ".com")
@example("a@b.K")
@settings(max_examples=200, deadline=None)
def test_the_fast_way_equals_email_validator(text):
    fast, (slow_host, slow_domain) = fast_and_slow(text)
    if fast is not None:
        host, domain = fast
        assert domain == slow_domain
        # email-validator refuses special-use names itself; the fast way leaves that to the registrable rule.
        assert host == slow_host or host.rpartition(".")[2] in SPECIAL_USE_TLDS


def test_the_fast_way_is_taken_for_plain_addresses():
    assert fast_and_slow("jane.doe+x@mail.contoso-group.co.uk")[0] == (
        "mail.contoso-group.co.uk",
        "contoso-group.co.uk",
    )


def test_an_address_above_320_characters_is_not_handed_to_email_validator():
    named = '"{}" <a@contoso.com>'
    assert domains._validated_host(named.format("n" * 301)) == "contoso.com"
    assert domains._validated_host(named.format("n" * 304)) is None


def test_a_hostile_row_costs_little():
    # Arabic-Indic digits take IDNA quadratic time: 4 s for this row if the labels were tried, 4 ms if not.
    row = [("email", f"a@{i}" + "\u0660" * 240 + ".com") for i in range(MAX_HINTS)]
    start = time.process_time()
    assert EXTRACTOR.extract(row).missing_reason == "invalid"
    assert time.process_time() - start < 1


def test_special_use_names_cover_those_of_email_validator():
    assert set(SPECIAL_USE_DOMAIN_NAMES) - {"test"} <= SPECIAL_USE_TLDS


TEXT = st.text(st.characters(), max_size=40)  # surrogates and U+0000 included
SOURCE = st.sampled_from(["email", "profile_id", "website"])


@given(
    st.lists(
        st.tuples(
            SOURCE,
            st.one_of(TEXT, ADDRESS, st.builds("a@{}.com".format, TEXT), st.builds("https://{}".format, TEXT)),
        )
    )
)
@settings(max_examples=100, deadline=None)
def test_any_text_has_a_consistent_verdict(given_hints):
    found = EXTRACTOR.extract(given_hints)
    names = [candidate.domain for candidate in found.candidates]
    assert len(names) == len(set(names))
    assert found.domain == (names[0] if names else None)
    assert found.link_status == ("unlinked", "linked", "multi_candidate")[min(len(names), 2)]
    assert (found.missing_reason is None) == bool(names)
    for name in names:
        assert name == name.lower()
        assert name.isascii()
        assert "." in name
        assert EXTRACTOR.extract([("email", f"x@{name}")]).domain == name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["team", "ids", "email", "id", "website", "URL"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_any_profile_can_be_read(profile):
    found = hints(profile)
    assert all(hint.value == hint.value.strip() != "" for hint in found)
    assert EXTRACTOR.extract(found).link_status in {"linked", "multi_candidate", "unlinked"}


def test_importing_the_module_loads_neither_tldextract_nor_requests():
    late = {"tldextract", "requests", "email_validator"}
    code = f"import sys, partner_center.domains; print({late} & set(sys.modules))"
    path = str(Path(domains.__file__).parents[1])
    result = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, check=True)
    assert result.stdout.strip() == b"set()"
