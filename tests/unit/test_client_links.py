"""Where the client goes next: to the configured host only, by https, with the query as it was given."""

from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partner_center.auth import TokenSource
from partner_center.client import ReferralClient
from partner_center.errors import UnsafeNextLink
from partner_center.listing import everything
from partner_center.settings import resolve
from partner_center.token_cache import StoredTokenCache
from partner_center.transport import verbatim

LISTING = everything("Incoming")
HOME = "https://api.partner.microsoft.com/v1.0/engagements/referrals"
TOKEN = "$skiptoken=b3BhcXVl%2bA%2f%3d"


class NoStore:
    """A store of nothing: following links needs no token."""

    def read(self):
        return None

    def write(self, _text):
        raise AssertionError

    def mask(self, _secret):
        raise AssertionError


def client_of(host=None):
    extra = {"tenant_id": "t-1", "client_id": "c-1"}
    found = resolve(host=host, port=None, schema=None, extra=extra, env={})
    return ReferralClient(requests.Session(), TokenSource(found, StoredTokenCache(NoStore())), found)


CLIENT = client_of()
LOCAL = client_of("https://127.0.0.1:8443")


# The last page


@pytest.mark.parametrize("link", [None, ""])
def test_no_link_is_the_end(link):
    assert CLIENT.safe_link(link) is None


# Home


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (f"{HOME}?{TOKEN}", f"{HOME}?{TOKEN}"),
        (f"http://api.partner.microsoft.com/v1.0/engagements/referrals?{TOKEN}", f"{HOME}?{TOKEN}"),
        (f"http://api.partner.microsoft.com:80/v1.0/engagements/referrals?{TOKEN}", f"{HOME}?{TOKEN}"),
        (f"https://api.partner.microsoft.com:443/v1.0/engagements/referrals?{TOKEN}", f"{HOME}?{TOKEN}"),
        (f"HTTPS://API.Partner.Microsoft.COM/v1.0/engagements/referrals?{TOKEN}", f"{HOME}?{TOKEN}"),
        (
            f"http://api.partner.microsoft.com/v1.0/referrals?{TOKEN}",
            f"https://api.partner.microsoft.com/v1.0/referrals?{TOKEN}",
        ),
        (
            f"//api.partner.microsoft.com/v1.0/referrals?{TOKEN}",
            f"https://api.partner.microsoft.com/v1.0/referrals?{TOKEN}",
        ),
        (f"/v1.0/engagements/referrals?{TOKEN}", f"{HOME}?{TOKEN}"),
        (f"/v2.0/other?{TOKEN}", f"https://api.partner.microsoft.com/v2.0/other?{TOKEN}"),
        (f"?{TOKEN}", f"{HOME}?{TOKEN}"),
        (f"referrals?{TOKEN}", f"{HOME}?{TOKEN}"),
        (f"{HOME}?{TOKEN}#fragment", f"{HOME}?{TOKEN}"),
        (f"{HOME}/?{TOKEN}", f"{HOME}/?{TOKEN}"),
    ],
)
def test_a_link_home_is_followed_by_https(link, expected):
    assert CLIENT.safe_link(link) == expected


@pytest.mark.parametrize(
    "link",
    [
        f"https://127.0.0.1:8443/v1.0/engagements/referrals?{TOKEN}",
        f"http://127.0.0.1:8443/v1.0/engagements/referrals?{TOKEN}",
        f"http://127.0.0.1/v1.0/engagements/referrals?{TOKEN}",
        f"/v1.0/engagements/referrals?{TOKEN}",
        f"?{TOKEN}",
    ],
)
def test_a_port_of_the_connection_stays(link):
    assert LOCAL.safe_link(link) == f"https://127.0.0.1:8443/v1.0/engagements/referrals?{TOKEN}"


# Elsewhere


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/engagements/referrals?$skiptoken=x",
        "https://api.partner.microsoft.com.evil.example/v1.0/engagements/referrals",
        "https://evil.example/api.partner.microsoft.com",
        "https://xapi.partner.microsoft.com/v1.0/engagements/referrals",
        "https://partner.microsoft.com/v1.0/engagements/referrals",
        "https://api.partner.microsoft.com./v1.0/engagements/referrals",
        "https://api.partner.microsoft.com@evil.example/v1.0",
        "https://api.partner.microsoft.com:443@evil.example/v1.0",
        "https://api.partner.microsoft.com\\.evil.example/v1.0",
        "https://evil.example#@api.partner.microsoft.com/v1.0",
        "https://evil.example?@api.partner.microsoft.com/v1.0",
        "//evil.example/v1.0/engagements/referrals",
        "http://evil.example/v1.0",
        "https://api.partner.microsoft.com:8443/v1.0/engagements/referrals",
        "https://api.partner.microsoft.com:0/v1.0/engagements/referrals",
        "https://api.partner.microsoft.com:port/v1.0/engagements/referrals",
        "https://api.partner.microsoft.com:99999/v1.0/engagements/referrals",
        "https://[::1]/v1.0",
        "https://аpi.partner.microsoft.com/v1.0",  # noqa: RUF001 - a Cyrillic letter
        "https://api。partner。microsoft。com/v1.0",
        "ftp://api.partner.microsoft.com/v1.0",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "ws://api.partner.microsoft.com/v1.0",
    ],
)
def test_a_link_elsewhere_is_refused(link):
    with pytest.raises(UnsafeNextLink):
        CLIENT.safe_link(link)


@pytest.mark.parametrize(
    "link", ["https://[::1/v1.0", "https://[x]/v1.0", "//[", "https://]api.partner.microsoft.com/"]
)
def test_a_link_that_is_no_address_is_refused_as_such(link):
    with pytest.raises(UnsafeNextLink):
        CLIENT.safe_link(link)


@pytest.mark.parametrize("link", [7, True, ["https://x.example"], {"href": HOME}, 1.5])
def test_a_link_that_is_no_text_is_refused(link):
    with pytest.raises(UnsafeNextLink):
        CLIENT.safe_link(link)


@pytest.mark.parametrize("user", ["u:p", "token", "evil.example\\", "evil.example%2f", ""])
def test_a_user_in_front_of_the_host_is_not_kept(user):
    assert (
        CLIENT.safe_link(f"https://{user}@api.partner.microsoft.com/v1.0/x?a")
        == "https://api.partner.microsoft.com/v1.0/x?a"
    )


@pytest.mark.parametrize(
    "link", ["https://127.0.0.1:8444/v1.0", "https://127.0.0.1:443/v1.0", "https://localhost:8443/v1.0"]
)
def test_another_port_of_the_host_is_elsewhere(link):
    with pytest.raises(UnsafeNextLink):
        LOCAL.safe_link(link)


def test_the_refusal_names_the_host_but_not_the_query():
    with pytest.raises(UnsafeNextLink) as caught:
        CLIENT.safe_link("https://evil.example/v1.0?$skiptoken=opaque-secret")
    assert "evil.example" in str(caught.value)
    assert "opaque-secret" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["https:", "http:", "", "ftp:", "HTTP:"]),
    st.sampled_from(["//", "/", "", "///", "\\\\"]),
    st.text("apirtnem.co@:/\\?#[]%80 evl", max_size=30),
    st.sampled_from(["", "api.partner.microsoft.com", "@api.partner.microsoft.com", "/v1.0"]),
)
def test_whatever_the_link_the_token_goes_home_or_nowhere(scheme, slashes, middle, end):
    try:
        link = CLIENT.safe_link(scheme + slashes + middle + end)
    except UnsafeNextLink:
        return
    if link is not None:
        prepared = requests.Session().prepare_request(requests.Request("GET", link))
        assert link.startswith("https://api.partner.microsoft.com/")
        assert urlsplit(prepared.url).netloc == "api.partner.microsoft.com"


# The query


@settings(max_examples=40, deadline=None)
@given(st.text([chr(code) for code in range(0x21, 0x7F) if chr(code) != "#"], min_size=1, max_size=60))
@example("$skiptoken=%2b%2F%3d+&a=b&&=%zz")
@example("a?b/c:d@e[f]")
def test_the_query_stays_byte_for_byte_up_to_the_wire(query):
    link = CLIENT.safe_link(f"http://api.partner.microsoft.com/v1.0/engagements/referrals?{query}")
    assert link == f"{HOME}?{query}"
    prepared = requests.Session().prepare_request(requests.Request("GET", link))
    assert verbatim(prepared, link).headers["X-Verbatim-Target"] == f"/v1.0/engagements/referrals?{query}"


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("$skiptoken=a b", "$skiptoken=a%20b"),
        ("$skiptoken=é", "$skiptoken=%C3%A9"),
        ("$skiptoken=%c3%a9é", "$skiptoken=%c3%a9%C3%A9"),
        ("$skiptoken=a\r\nX-Evil: 1", "$skiptoken=a%0D%0AX-Evil:%201"),
        ("$skiptoken=a\tb", "$skiptoken=a%09b"),
        ("$skiptoken=\x00", "$skiptoken=%00"),
    ],
)
def test_what_no_request_line_can_hold_is_encoded_and_the_rest_stays(query, sent):
    assert CLIENT.safe_link(f"{HOME}?{query}") == f"{HOME}?{sent}"


def test_a_lone_surrogate_in_a_link_is_refused():
    with pytest.raises(UnsafeNextLink):
        CLIENT.safe_link(f"{HOME}?$skiptoken=\ud83d")


# The first request


def test_the_first_request_carries_filter_order_and_size():
    url = CLIENT._first_url("direction ne 'Outgoing'", LISTING)
    assert url.startswith(f"{HOME}?")
    assert parse_qsl(urlsplit(url).query, strict_parsing=True) == [
        ("$filter", "direction ne 'Outgoing'"),
        ("$orderby", "createdDateTime asc"),
        ("$top", "200"),
    ]
    assert "%20" in url
    assert "+" not in url


def test_the_first_request_without_a_filter_has_none():
    query = dict(parse_qsl(urlsplit(CLIENT._first_url(None, LISTING)).query, strict_parsing=True))
    assert query == {"$orderby": "createdDateTime asc", "$top": "200"}


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40))
def test_any_condition_survives_its_encoding(condition):
    url = CLIENT._first_url(condition or None, LISTING)
    assert dict(parse_qsl(urlsplit(url).query)).get("$filter", "") == condition
    assert quote(url, safe="%:/?&=$") == url
