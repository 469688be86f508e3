"""Many referrals for measurements, from a template: 65 % eligible, two fifths of those with a domain."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator.data.builder import details, member, profile, referral
from simulator.store import Row

SIZE = 2170
FIRST = datetime(2026, 6, 1, tzinfo=UTC)
# A row's number modulo 20 decides what it is: 13 of 20 are eligible.
OPEN = ('"New","substatus":"Pending"', '"New","substatus":"Received"', '"Active","substatus":"Accepted"')
CLOSED = ('"Closed","substatus":"Won"', '"Closed","substatus":"Lost"', '"Closed","substatus":"Expired"')
CONSUMER = ("gmail.com", "outlook.com", "hotmail.com", "web.de", "")
HOUSES = ("brunnthal", "karayaka", "penrith", "aobadai", "lehtola", "cedarfork", "moorgate")
TOPS = ("com", "de", "co.uk", "com.tr", "co.jp", "fi", "com")


def bulk(count: int) -> list[Row]:
    """Give `count` referrals of about 2.17 kB."""
    template, rows = _template(), []
    for number in range(count):
        house = number % 7
        place = number % 20
        kind = OPEN[number % 3] if place < 13 or place > 17 else CLOSED[number % 3]
        direction = "Outgoing" if place > 17 else "Incoming"
        # Of any hundred rows in a line, each group has the same share with a domain.
        if (number // 20 + number) % 5 < 2:
            email = f"it@{HOUSES[house]}-{number}.{TOPS[house]}"
        else:
            mailbox = CONSUMER[number % 5]
            email = f"contact{number}@{mailbox}" if mailbox else ""
        # The same instant for every four rows, as the service's own jobs leave it.
        moment = FIRST + timedelta(seconds=number // 4 * 60, microseconds=number // 4 % 1000 * 997)
        own = f"{number:08x}-b01c-4000-8000-{number * 2_654_435_761 % 2**48:012x}"
        text = template % {
            "id": own,
            "engagement": f"{number // 2:08x}-e06a-4000-8000-000000000000",
            "status": kind,
            "direction": direction,
            "updated": f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z",
            "tag": f"{number:08x}-0000-0000-0000-66f0c0de0000",
            "number": number,
            "email": email,
            "value": number % 5_000 * 250,
        }
        rows.append(Row(own, text.encode()))
    return rows


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _template() -> str:
    """Make the text of a referral with places for what differs, padded by its notes to the size."""
    team = [member("Aino", "Laine", "@email@")]
    customer = profile("Customer @number@", "FI", "Turku", team, [{"profileType": "External", "id": "1-AB12CDE"}])
    sample = referral("bulk", customer=customer, deal=details("@value@", "EUR", "@notes@", "Azure"))
    sample |= {"id": "@id@", "engagementId": "@engagement@", "status": "@status@", "direction": "@direction@"}
    sample |= {"updatedDateTime": "@updated@", "eTag": '"@tag@"', "name": "Referral @number@"}
    del sample["substatus"], sample["links"]
    sample = _without_nulls(sample)
    text = json.dumps(sample, separators=(",", ":"), ensure_ascii=False).replace("%", "%%")
    text = text.replace('"@status@"', "%(status)s").replace('"@value@"', "%(value)d")
    for name in ("id", "engagement", "direction", "updated", "tag", "number", "email"):
        text = text.replace(f"@{name}@", f"%({name})s")
    # What the places grow by on average, so that the mean row comes out at the size.
    growth = 101
    return text.replace("@notes@", "n" * max(0, SIZE - len(text) - growth))
