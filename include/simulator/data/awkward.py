"""Every awkward shape of a row, by name, with what has to become of it: tests use this as their table."""

# The Turkish dotless i is one of the shapes.
# ruff: noqa: RUF001
from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from simulator.data.builder import details, guid, member, profile, referral
from simulator.store import dumps

GOOD = "kontakt@federlein-optik.de"
GOOD_DOMAIN = "federlein-optik.de"


@dataclass(frozen=True)
class Case:
    """An awkward row, or several that belong together.

    `expected` is stored, quarantined or skipped; `either` says that stored and quarantined both keep the
    contract. `domain` is the expected one, `candidates` how many distinct ones there are. `duplicates` counts
    the rows that only repeat an id; `winner` is the `name` of the one that must survive.
    """

    name: str
    rows: tuple[str, ...]
    expected: str = "stored"
    domain: str | None = None
    candidates: int = 1
    either: bool = False
    duplicates: int = 0
    winner: str | None = None

    @property
    def id(self) -> str:
        """The referral's id, where the shape leaves it alone."""
        return guid(self.name)


AWKWARD: dict[str, Case] = {}


def all_awkward() -> list[str]:
    """Give the raw text of all rows of all shapes."""
    return [text for case in AWKWARD.values() for text in case.rows]


def _base(name: str, mail: str | None = GOOD, **parts: Any) -> dict[str, Any]:
    """Give an eligible referral with one contact."""
    team = [] if mail is None else [member("Uwe", "Lang", mail)]
    customer = profile("Federlein Optik GmbH", "DE", "Wetzlar", team, [])
    deal = details(12_500.5, "EUR", "Call next week.", "Azure")
    return referral(name, customer=customer, deal=deal, created=len(AWKWARD) * 60, updated=len(AWKWARD) * 600, **parts)


def _add(name: str, *rows: Any, **outcome: Any) -> None:
    """Name a shape; a row is a JSON value or, as a string that starts with a brace, raw text."""
    texts = tuple(row if isinstance(row, str) and row.startswith(("{", '"')) else dumps(row) for row in rows)
    outcome.setdefault("domain", GOOD_DOMAIN if outcome.get("expected", "stored") == "stored" else None)
    outcome.setdefault("candidates", 0 if outcome["domain"] is None else 1)
    AWKWARD[name] = Case(name, texts, **outcome)


def _changed(name: str, path: str, value: Any, **outcome: Any) -> None:
    """Name a shape that is the base with one value changed; an Ellipsis removes it."""
    row = _base(name)
    *parents, last = path.split("/")
    target: Any = row
    for step in parents:
        target = target[int(step) if step.isdecimal() else step]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    _add(name, row, **outcome)


def _raw(name: str, path: str, text: str, **outcome: Any) -> None:
    """Name a shape whose value is written verbatim, as no JSON writer would."""
    _changed(name, path, "@raw@", **outcome)
    rows = tuple(row.replace('"@raw@"', text) for row in AWKWARD[name].rows)
    AWKWARD[name] = Case(name, rows, **{k: v for k, v in vars(AWKWARD[name]).items() if k not in ("name", "rows")})


def _mail(name: str, *mails: str | None, domain: str | None, candidates: int | None = None) -> None:
    """Name a shape of the contacts' addresses."""
    row = _base(name)
    row["customerProfile"]["team"] = [member("Uwe", "Lang", mail) for mail in mails]
    _add(name, row, domain=domain, candidates=int(domain is not None) if candidates is None else candidates)


def _texts() -> None:
    quarantine: dict[str, Any] = {"expected": "quarantined", "either": True}
    _changed("nul_in_notes", "details/notes", "before\x00after", **quarantine)
    _changed("nul_in_name", "name", "Nul\x00", **quarantine)
    _changed("nul_in_email", "customerProfile/team/0/email", "a\x00b@federlein-optik.de", **quarantine)
    row = _base("nul_in_key")
    row["new\x00Property"] = 1
    _add("nul_in_key", row, **quarantine)
    _raw("lone_surrogate", "details/notes", r'"cut \ud83d here"', **quarantine)
    _raw("lone_low_surrogate", "name", r'"\udc00"', **quarantine)
    _raw("escaped_pair", "name", r'"\ud83d\ude80 launch"')
    _changed("note_64kb", "details/notes", "n" * 65_536)
    _changed("note_200kb", "details/notes", "Grüße " * 33_334)
    _changed("long_name", "name", "x" * 5_000)
    _changed("html_name", "name", "<b>Bold</b><script>alert(1)</script>")
    _changed("html_customer", "customerProfile/name", '"><img src=x onerror=alert(1)>')
    _changed("formula_name", "name", '=HYPERLINK("https://evil.example","Click")')
    _changed("formula_plus", "customerProfile/name", "+SUM(1;1)")
    _changed("rtl_name", "name", "שלום \u202egnp.exe")
    _changed("control_name", "name", "bell\x07 tab\t newline\n line\u2028end")
    _changed("copy_escapes", "name", "back\\slash \\N \\. tab\t end\\")
    _changed("quotes_name", "name", 'Robert\'); DROP TABLE partner_center_referrals;-- "x" $1 %s {y}')
    _changed("emoji_name", "name", "Ausbau 🚀 東京")
    _changed("empty_name", "name", "")
    _changed("null_name", "name", None)
    _changed("turkish_i", "customerProfile/name", "IŞIK ışık İstanbul")


def _numbers_and_times() -> None:
    for digits in range(8):
        fraction = f".{'1234567'[:digits]}" if digits else ""
        _changed(f"fraction_{digits}", "updatedDateTime", f"2026-10-05T06:07:08{fraction}Z")
    _changed("max_datetime", "closedDateTime", "9999-12-31T23:59:59.9999999Z")
    _changed("max_updated", "details/closingDateTime", "9999-12-31T23:59:59.9999999Z")
    _changed("min_datetime", "acceptedDateTime", "0001-01-01T00:00:00Z")
    _changed("min_created", "createdDateTime", "0001-01-01T00:00:00Z")
    _changed("offset_datetime", "updatedDateTime", "2026-10-05T08:07:08+02:00")
    _changed("zoneless_datetime", "updatedDateTime", "2026-10-05T06:07:08", either=True)
    _changed("words_for_datetime", "updatedDateTime", "yesterday", expected="quarantined", either=True)
    _changed("impossible_datetime", "createdDateTime", "2026-02-30T00:00:00Z", expected="quarantined", either=True)
    _changed("null_updated", "updatedDateTime", None, expected="quarantined", either=True)
    _changed("missing_created", "createdDateTime", ..., either=True)
    _changed("number_as_text", "details/dealValue", "12500.50")
    _changed("localised_number", "details/dealValue", "12.500,50", either=True)
    _changed("words_for_number", "details/dealValue", "about 10k", either=True)
    _changed("decimal_deal_value", "details/dealValue", 10000.1)
    _changed("negative_deal_value", "details/dealValue", -1)
    _changed("null_deal_value", "details/dealValue", None)
    _raw("huge_deal_value", "details/dealValue", "123456789012345678901234567890.12")
    _raw("overflowing_deal_value", "details/dealValue", "1e400", either=True)
    _raw("exponent_deal_value", "details/dealValue", "1.25E+5")
    _changed("null_currency", "details/currency", None)
    _changed("unknown_currency", "details/currency", "Euro")
    _changed("boolean_as_text", "isSpam", "false")


def _blocks_and_enums() -> None:
    row = _base("null_blocks")
    row |= dict.fromkeys(("customerProfile", "consent", "details", "inviteContext", "team", "target", "tags"))
    _add("null_blocks", row, domain=None)
    _changed("null_customer_profile", "customerProfile", None, domain=None)
    _changed("missing_customer_profile", "customerProfile", ..., domain=None)
    _changed("profile_is_list", "customerProfile", [], domain=None, either=True)
    _changed("profile_is_text", "customerProfile", "Federlein Optik GmbH", domain=None, either=True)
    _changed("null_address", "customerProfile/address", None)
    _changed("null_details", "details", None)
    _changed("null_invite_context", "inviteContext", None)
    _changed("empty_consent", "consent", {})
    _changed("team_object", "customerProfile/team", member("Uwe", "Lang", GOOD))
    _changed("team_null", "customerProfile/team", None, domain=None)
    _changed("team_with_nulls", "customerProfile/team", [None, member("Uwe", "Lang", GOOD)])
    _changed("email_is_number", "customerProfile/team/0/email", 42, domain=None)
    _changed("country_three_letters", "customerProfile/address/country", "DEU")
    _changed("unknown_enum", "qualification", "PartnerQualified")
    _changed("unknown_type", "type", "Hybrid")
    _changed("unknown_status", "status", "Paused", expected="skipped")
    _changed("missing_status", "status", ..., expected="skipped")
    _changed("null_status", "status", None, expected="skipped")
    _changed("status_upper_case", "status", "NEW")
    _changed("missing_direction", "direction", ..., expected="skipped")
    _changed("null_direction", "direction", None, expected="skipped")
    _changed("direction_lower_case", "direction", "incoming")
    _changed("outgoing", "direction", "Outgoing", expected="skipped")
    _add("closed_won", _base("closed_won", status="Closed", substatus="Won"), expected="skipped")
    _changed("unknown_field", "partnerScore", {"value": 7, "reasons": ["new", None]})
    _changed("numeric_sales_stage", "salesStage", "100")
    _changed("no_links", "links", ...)
    _add("minimal", {"id": guid("minimal"), "status": "New", "direction": "Incoming"}, domain=None, either=True)
    nested: Any = "core"
    for _ in range(400):
        nested = {"d": nested}
    _changed("deep_nesting", "newBlock", nested, either=True)


def _domains() -> None:
    _mail("no_contacts", domain=None)
    _mail("no_email", None, "", domain=None)
    _mail("consumer_only", "a.lang@gmail.com", "uwe@WEB.DE", domain=None)
    _mail("consumer_then_business", "uwe.lang@hotmail.com", GOOD, domain=GOOD_DOMAIN)
    _mail("two_companies", GOOD, "x@thornwickbrass.co.uk", domain=GOOD_DOMAIN, candidates=2)
    _mail("same_company_twice", GOOD, "u.lang@Federlein-Optik.de", domain=GOOD_DOMAIN)
    _mail("idn_mail", "info@bäckerei-müller-ostertal.de", domain="xn--bckerei-mller-ostertal-04b89c.de")
    _mail(
        "idn_encoded_mail",
        "info@xn--bckerei-mller-ostertal-04b89c.de",
        domain="xn--bckerei-mller-ostertal-04b89c.de",
    )
    _mail("subdomain_mail", "it@mail.eu.thornwickbrass.co.uk", domain="thornwickbrass.co.uk")
    _mail("upper_case_mail", "INFO@SAHINBEYOTOMOTIVYAN.COM.TR", domain="sahinbeyotomotivyan.com.tr")
    _mail("plus_address", "uwe+ms@federlein-optik.de", domain=GOOD_DOMAIN)
    _mail("quoted_local_part", '"uwe lang"@federlein-optik.de', domain=GOOD_DOMAIN)
    _mail("quoted_at", '"uwe@gmail.com"@federlein-optik.de', domain=GOOD_DOMAIN)
    _mail("trailing_dot", "uwe@federlein-optik.de.", domain=GOOD_DOMAIN)
    _mail("spaces_around", " uwe@federlein-optik.de ", domain=GOOD_DOMAIN)
    _mail("ip_literal", "root@[192.0.2.10]", domain=None)
    _mail("ip_v6_literal", "root@[IPv6:2001:db8::1]", domain=None)
    _mail("bare_ip", "root@192.0.2.10", domain=None)
    _mail("localhost_mail", "root@localhost", domain=None)
    _mail("single_label", "admin@intranet", domain=None)
    _mail("public_suffix_only", "info@co.uk", domain=None)
    _mail("no_at_sign", "kontakt(at)federlein-optik.de", domain=None)
    _mail("empty_local_part", "@", domain=None)
    _mail("japanese_mail", "y-sasaki@seireiseiko.co.jp", domain="seireiseiko.co.jp")
    opaque, site = "1-AB12CDE", "thornwickbrass.co.uk"
    for name, ids, domain in (
        ("ids_object", {}, None),
        ("ids_object_filled", {"External": opaque}, None),
        ("ids_empty", [], None),
        ("ids_null", None, None),
        ("ids_list", [{"profileType": "Duns", "id": ""}, {"profileType": "External", "id": opaque}], None),
        ("ids_with_domain", [{"profileType": "Domain", "id": site}], site),
    ):
        row = _base(name, None)
        row["customerProfile"]["ids"] = ids
        _add(name, row, domain=domain)
    row = _base("website_field", None)
    row["customerProfile"]["website"] = f"https://www.{site}/contact?x=1"
    _add("website_field", row, domain=site)


def _identity() -> None:
    for name, later in (("same_id_twice_newer_second", 1), ("same_id_twice_newer_first", 0)):
        rows = [_base(name) | {"name": "older"}, _base(name) | {"name": "older"}]
        rows[later] |= {"name": "newer", "updatedDateTime": "2026-11-20T10:00:00.0000001Z"}
        rows[1 - later] |= {"updatedDateTime": "2026-11-20T10:00:00Z"}
        _add(name, *rows, duplicates=1, winner="newer")
    _add("same_id_same_time", _base("same_id_same_time"), _base("same_id_same_time"), duplicates=1)
    pair = [_base("engagement_pair") | {"id": guid(f"engagement_pair {number}")} for number in range(2)]
    _add("engagement_pair", *pair)
    _changed("no_id", "id", ..., expected="quarantined")
    _changed("null_id", "id", None, expected="quarantined")
    _changed("empty_id", "id", "", expected="quarantined")
    _changed("blank_id", "id", "   ", expected="quarantined")
    _changed("numeric_id", "id", 12345, expected="quarantined", either=True)
    _changed("object_id", "id", {"value": guid("object_id")}, expected="quarantined")
    _changed("text_id", "id", "not-a-guid-but-an-id")
    _add("not_an_object", json.dumps("a bare string"), expected="quarantined")
    _add("null_row", None, expected="quarantined")
    _add("list_row", [], expected="quarantined")


_texts()
_numbers_and_times()
_blocks_and_enums()
_domains()
_identity()
