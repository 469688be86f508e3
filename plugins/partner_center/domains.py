"""Find a referral's customer domain in what its customer profile says. Pure: no Airflow, no network.

The API has no domain field, so the domain comes from hints, in this order: e-mail addresses of the
customer's team, `customerProfile.ids`, website fields should a payload have them. The rules:

* E-mail syntax and IDNA (UTS 46) are email-validator's; registrable domains are the public suffix list's,
  private section included, by tldextract's snapshot. An unknown TLD is a suffix (the list's default rule).
* Consumer mail providers (`data/consumer_mail_domains.txt`, and a setting) never count.
* One business domain is `linked`, several are `multi_candidate` with the first as domain, none `unlinked`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tldextract import TLDExtract

EMAIL, PROFILE_ID, WEBSITE = "email", "profile_id", "website"
LINKED, MULTI_CANDIDATE, UNLINKED = "linked", "multi_candidate", "unlinked"
NO_EMAIL, CONSUMER_ONLY, INVALID = "no_email", "consumer_only", "invalid"

# Bounds on what one hostile row can cost; real profiles stay far below them.
MAX_HINTS, MAX_ADDRESSES_PER_FIELD = 200, 10
MAX_TEXT, MAX_ADDRESS = 2_000, 320  # characters of a field or URL, of one address

WEBSITE_FIELDS = ("website", "websiteurl", "url", "homepage", "domain", "domainname")
# Never a customer's public domain: email-validator's list without `test` (documentation data), and the names
# that stand in private networks (RFC 6762 appendix G, RFC 9476, ICANN's name collisions).
SPECIAL_USE_TLDS = frozenset(
    {"alt", "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain"}
    | {"localhost", "onion", "private"}
)

# Microsoft 365 tenants are customers of their own, but the public suffix list does not know their parents:
# every tenant would become the one domain onmicrosoft.com. `mail.` is the hybrid routing domain.
TENANT_SUFFIXES = (
    *("onmicrosoft.com", "mail.onmicrosoft.com", "onmicrosoft.us", "mail.onmicrosoft.us", "onmicrosoft.de"),
    *("mail.onmicrosoft.de", "partner.onmschina.cn", "partner.mail.onmschina.cn", "sharepoint.com"),
)

# A subset of what email-validator accepts, so narrow that its answer is known: dot-atom @ letters, digits,
# single hyphens; at most 63 characters after the @, so no label is too long. All else takes the slow way.
_ATOM = r"[A-Za-z0-9_!#$%&'*+\-/=?^`{|}~]+"
_HOST = r"(?=.{3,63}\Z)(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+[A-Za-z]+"
_PLAIN_ADDRESS = re.compile(rf"(?=.{{5,254}}\Z){_ATOM}(?:\.{_ATOM})*@({_HOST})")

# For fields that hold more than an address. Linear: starts only behind a break, the quoted part is bounded.
_BREAK = r'\s"<>()\[\],;:\u200b\ufeff'
_ADDRESS_IN_TEXT = re.compile(
    rf'(?<![^{_BREAK}])(?:"(?:\\.|[^"\\]){{0,64}}"|[^{_BREAK}?@]+)@(?:\[[^\]\s]*\]|[^{_BREAK}?]+)'
)
_FULL_STOPS = ".\u3002\uff0e\uff61"  # what UTS 46 takes for a dot
_LABEL_TOO_LONG = re.compile(rf"[^{_FULL_STOPS}]{{64}}")
_TLD = re.compile(r"[a-z]+|xn--[a-z0-9-]+")
_NAMES_A_HOST = re.compile(
    rf".*://|(?://)?[^\s/?#:@]+[{_FULL_STOPS}](?:(?i:xn--)[\w-]+|[^\W\d_][^\s\d_/?#:@.-]*)"
    rf"[{_FULL_STOPS}]?(?:[/?#:]|\Z)"
)


class Hint(NamedTuple):
    """What may lead to a domain: its source (`email`, `profile_id`, `website`) and its text."""

    source: str
    value: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A business domain and the source of its first appearance."""

    domain: str
    source: str


@dataclass(frozen=True, slots=True)
class CustomerDomain:
    """The verdict on one referral; `missing_reason` is set exactly when `domain` is not."""

    domain: str | None
    source: str | None
    link_status: str
    missing_reason: str | None
    candidates: tuple[Candidate, ...]


def hints(customer_profile: object) -> list[Hint]:
    """Read a decoded `customerProfile` leniently: any shape is accepted, what can be no hint is passed over.

    Distinct hints in order, at most `MAX_HINTS`. A text that is too long to be valid is cut one character
    above the limit: it stays invalid and costs no room.
    """
    if not isinstance(customer_profile, dict):
        return []
    team = customer_profile.get("team")
    members = team if isinstance(team, list) else [team]
    found = [(EMAIL, member.get("email")) for member in members if isinstance(member, dict)]
    found += [(PROFILE_ID, value) for value in _id_values(customer_profile.get("ids"))]
    found += [(WEBSITE, value) for value in _website_values(customer_profile)]
    texts = [(source, text.strip()[: MAX_TEXT + 1]) for source, text in found if isinstance(text, str)]
    return [Hint(source, text) for source, text in dict.fromkeys(texts) if text][:MAX_HINTS]


def _id_values(ids: object) -> list[object]:
    """Return the id values of all documented shapes: `{}`, name to value, `[]`, a list of typed ids."""
    if isinstance(ids, dict):
        return list(ids.values())
    return [item.get("id") for item in ids if isinstance(item, dict)] if isinstance(ids, list) else []


def _website_values(profile: dict[object, object]) -> list[object]:
    keys = [key for key in profile if str(key).lower() in WEBSITE_FIELDS]
    # By the rank of the field, not by the payload's order: jsonb does not keep that.
    keys.sort(key=lambda key: WEBSITE_FIELDS.index(str(key).lower()))
    values = [profile[key] for key in keys]
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


class DomainExtractor:
    """Decide customer domains; `extra_consumer_domains` join the bundled list of consumer mail providers.

    Raises:
        ValueError: an extra entry has no registrable domain, so it could never match.
    """

    def __init__(self, extra_consumer_domains: Iterable[str] = ()) -> None:
        extra = (_consumer_entry(entry) for entry in extra_consumer_domains if entry.strip())
        self._consumer_domains = _bundled_consumer_domains().union(extra)

    def extract(self, hints: Iterable[Hint | tuple[str, str] | list[str]]) -> CustomerDomain:
        """Judge the hints in their order; at most the first `MAX_HINTS` distinct ones are looked at."""
        business: dict[str, str] = {}
        given = consumer = False
        for source, value in islice(dict.fromkeys(map(tuple, hints)), MAX_HINTS):
            for host in _hosts(source, value.strip()):
                given = True
                domain = _registrable(host) if host else None
                if domain is None:
                    continue
                if domain in self._consumer_domains:
                    consumer = True
                else:
                    business.setdefault(domain, source)
        if not business:
            reason = CONSUMER_ONLY if consumer else INVALID if given else NO_EMAIL
            return CustomerDomain(None, None, UNLINKED, reason, ())
        candidates = tuple(Candidate(domain, source) for domain, source in business.items())
        first = candidates[0]
        status = LINKED if len(candidates) == 1 else MULTI_CANDIDATE
        return CustomerDomain(first.domain, first.source, status, None, candidates)


def _hosts(source: str, text: str) -> list[str | None]:
    """Return the hosts a hint names, None for a malformed one; an empty list means nothing was given."""
    if source == EMAIL and (plain := _PLAIN_ADDRESS.fullmatch(text)):
        return [plain[1].lower()]  # nearly all of them, many times quicker than email-validator
    if not text or len(text) > MAX_TEXT:
        return [None] if text else []
    if source == EMAIL or ("@" in text and "/" not in text):
        return _address_hosts(text)
    if source == PROFILE_ID and not _NAMES_A_HOST.match(text):
        return []  # an account id, a DUNS number, a GUID: opaque, and never meant as a host
    return [_url_host(text)]


def _address_hosts(text: str) -> list[str | None]:
    """Return the host of an address, or of each in a text such as `Ann <a@b.com>; mailto:c@d.com`."""
    if whole := _validated_host(text):
        return [whole]
    # A display name is no address, even if it looks like one: drop what is between a break and a `<`.
    *heads, tail = text.split("<")
    text = "<".join([head[: max(map(head.rfind, ";,>\n")) + 1] for head in heads] + [tail])
    found = islice(_ADDRESS_IN_TEXT.finditer(text), MAX_ADDRESSES_PER_FIELD)
    return [_validated_host(match[0].rstrip(_FULL_STOPS + "'")) for match in found] or [None]


def _validated_host(address: str) -> str | None:
    """Return an address's host in lower-case IDNA form, None when email-validator refuses the address."""
    from email_validator import validate_email  # here, because DAG parsing should not pay for it

    # IDNA's cost grows with the square of a label's length: what no DNS label can be is not tried.
    if len(address) > MAX_ADDRESS or _LABEL_TOO_LONG.search(address.rpartition("@")[2]):
        return None
    try:
        return validate_email(
            address,
            allow_smtputf8=True,
            allow_quoted_local=True,
            allow_display_name=True,
            check_deliverability=False,
            test_environment=True,
        ).ascii_domain
    except ValueError:  # EmailNotValidError is one
        return None


def _url_host(text: str) -> str | None:
    """Return the host of a URL, with or without a scheme; the rules for hosts are those of addresses."""
    text = text.replace("\\", "/")  # as browsers do, so that `//a.com\@b.com` is a.com
    try:
        host = urlsplit(text if "//" in text else f"//{text}").hostname
    except ValueError:
        return None
    return _validated_host(f"x@{host.rstrip(_FULL_STOPS)}") if host else None


@lru_cache(maxsize=8_192)
def _registrable(host: str) -> str | None:
    """Return the registrable domain of a lower-case ASCII host, None where there is none.

    A host that is itself a private suffix (user@github.io) is its owner's: the ICANN rule decides.
    """
    parent, _, tld = host.rpartition(".")
    if not parent or tld in SPECIAL_USE_TLDS or not _TLD.fullmatch(tld):
        return None
    found = _suffix_list().extract_str(host)
    if found.suffix and found.domain:
        return f"{found.domain}.{found.suffix}"
    if found.suffix and not found.is_private:
        return None
    return ".".join(host.split(".")[-2 - found.registry_suffix.count(".") :])


@cache
def _suffix_list() -> "TLDExtract":
    from tldextract import TLDExtract  # here: it brings requests, 0.3 s that DAG parsing should not pay

    # The snapshot in the wheel, always: no download, no cache on disk, the same answer everywhere.
    return TLDExtract(None, (), include_psl_private_domains=True, extra_suffixes=TENANT_SUFFIXES)


def _consumer_entry(entry: str) -> str:
    host = _url_host(entry.strip())
    if domain := _registrable(host) if host else None:
        return domain
    msg = f"not a domain that could be a consumer mail provider: {entry!r}"
    raise ValueError(msg)


@cache
def _bundled_consumer_domains() -> frozenset[str]:
    text = (Path(__file__).parent / "data" / "consumer_mail_domains.txt").read_text("ascii")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
