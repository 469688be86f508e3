"""The disaster in numbers: 250 incoming referrals; 88 open, 38 of them with a domain; 162 closed."""

# The notes are Turkish, among others: a dotless i is meant.
# ruff: noqa: RUF001
from __future__ import annotations

import random
from typing import Any

from simulator.data.builder import CATEGORIES, details, member, profile, referral
from simulator.data.companies import COMPANIES, PEOPLE, Company

SEED = 20261124
WITH_DOMAIN = 38
WITHOUT_CONTACT = 16
CONSUMER_ONLY = 22
INVALID = 12
CLOSED = {"Won": 44, "Lost": 51, "Declined": 38, "Expired": 29}
CONSUMER = (
    "gmail.com",
    "outlook.com",
    "hotmail.com",
    "web.de",
    "gmx.de",
    "yahoo.com",
    "icloud.com",
    "yahoo.co.jp",
    "hotmail.co.uk",
    "live.com",
    "GMAIL.COM",
)
NO_ADDRESS = (
    "n/a",
    "-",
    "info@",
    "please call",
    "kontakt(at)firma",
    "root@[192.0.2.10]",
    "admin@localhost",
    "sales@server01",
    "@",
    "yok",
    "no mail",
    "purchasing@co.uk",
)
PRODUCTS = ("Azure", "Microsoft 365", "Dynamics 365", "Power Platform", "Security", "Copilot")
CURRENCIES = {"TR": "TRY", "DE": "EUR", "JP": "JPY", "GB": "GBP", "FI": "EUR", "US": "USD"}
NOTES = (
    "Customer asks for a migration of two sites, first call next week.",
    "Müşteri önce bir keşif toplantısı istiyor; bütçe onaylandı.",
    "Angebot bis Monatsende, bitte den Leiter IT anrufen.",
    "来週の初めにデモを希望されています。",
    "",
)


def disaster() -> list[dict[str, Any]]:
    """Give the 250 referrals in an order that mixes open and closed ones."""
    chance = random.Random(SEED)
    open_ones = [_team_with_domain(number, chance) for number in range(WITH_DOMAIN)]
    open_ones += [_team_without(number, chance) for number in range(WITHOUT_CONTACT + CONSUMER_ONLY + INVALID)]
    closed = [substatus for substatus, count in CLOSED.items() for _ in range(count)]
    rows = []
    for number, (company, team) in enumerate(open_ones):
        status, substatus = (("New", "Pending"), ("New", "Received"), ("Active", "Accepted"))[number % 3]
        rows.append(_referral(number, company, team, status, substatus, chance))
    for number, substatus in enumerate(closed, start=len(rows)):
        company = COMPANIES[number % len(COMPANIES)]
        team = [_person(company, chance, company.domain)]
        rows.append(_referral(number, company, team, "Closed", substatus, chance))
    chance.shuffle(rows)
    return rows


def _referral(
    number: int, company: Company, team: Any, status: str, substatus: str, chance: random.Random
) -> dict[str, Any]:
    currency = CURRENCIES[company.country]
    value: Any = chance.choice([None, 4_800, 12_500.5, 48_000, 125_000.75, 310_000, 1_250_000])
    ids = [{"profileType": "External", "id": f"1-{chance.randrange(16**7):07X}"}]
    if number % 3 == 0:
        ids.insert(0, {"profileType": "Duns", "id": f"{chance.randrange(10**9):09d}"})
    created = number * 20_000 + chance.randrange(20_000)
    return referral(
        f"disaster {number}",
        customer=profile(company.name, company.country, company.city, team, ids),
        deal=details(value, None if value is None else currency, chance.choice(NOTES), chance.choice(PRODUCTS)),
        category=list(CATEGORIES)[number % len(CATEGORIES)],
        status=status,
        substatus=substatus,
        created=created,
        # Every tenth was touched by the same job of the service, in the same instant.
        updated=6_000_000 if number % 10 == 0 else created + chance.randrange(1, 900_000) + 0.123456,
        digits=(7, 7, 3, 0)[number % 4],
    )


def _person(company: Company, chance: random.Random, domain: str | None) -> dict[str, Any]:
    first, last, local = chance.choice(PEOPLE[company.country])
    email = None if domain is None else f"{local}@{domain}"
    return member(first, last, email, f"+{chance.randrange(10**10, 10**11)}")


def _team_with_domain(number: int, chance: random.Random) -> tuple[Company, Any]:
    # The last two are second referrals of customers that are there already.
    company = COMPANIES[number % (WITH_DOMAIN - 2)]
    team = [_person(company, chance, company.domain)]
    if number % 6 == 1:
        team.insert(0, _person(company, chance, "gmail.com"))
    if number % 9 == 2:
        team.append(_person(company, chance, COMPANIES[(number + 7) % len(COMPANIES)].domain))
    return company, team


def _team_without(number: int, chance: random.Random) -> tuple[Company, Any]:
    company = COMPANIES[(number * 5 + 3) % len(COMPANIES)]
    if number < WITHOUT_CONTACT:
        return company, [
            [],
            None,
            [_person(company, chance, None)],
            [_person(company, chance, "") | {"email": ""}],
        ][number % 4]
    number -= WITHOUT_CONTACT
    if number < CONSUMER_ONLY:
        return company, [
            _person(company, chance, CONSUMER[(number + i) % len(CONSUMER)]) for i in range(1 + number % 2)
        ]
    person = _person(company, chance, None)
    return company, [person | {"email": NO_ADDRESS[number - CONSUMER_ONLY]}]
