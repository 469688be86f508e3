"""What the REST routes of the referrals answer, as OpenAPI describes it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

DIGITS = (
    "A JSON number with all the digits that Partner Center sent. A client that reads numbers as floating point keeps "
    "some 15 of them; one that reads decimals keeps all."
)


class ListedReferral(BaseModel):
    """A referral as a list shows it. Times are ISO 8601 in UTC, ending in Z."""

    model_config = ConfigDict(extra="forbid")

    referral_id: str
    name: str | None
    customer_name: str | None
    customer_country: str | None
    status: str | None
    substatus: str | None
    referral_type: str
    direction: str | None
    link_status: str
    domain: str | None
    candidates: int = Field(description="How many domains there are to choose from.")
    deal_value: float | None = Field(description=DIGITS)
    currency: str | None
    created_at: datetime | None
    updated_at: datetime | None
    expires_at: datetime | None
    missing_since: datetime | None = Field(description="Since when the API no longer has it; null while it has.")


class ReferralList(BaseModel):
    """A page of referrals."""

    model_config = ConfigDict(extra="forbid")

    referrals: list[ListedReferral]
    total: int | None = Field(description="How many the filters let through; null where `more_than` tells.")
    more_than: int | None = Field(description="Nobody counts further than this; null where `total` is exact.")
    limit: int
    offset: int = Field(description="How many stand before this page; after a cursor, as its page counted them.")
    next: str | None = Field(description="`after` of the next page; null on the last one.")


class Referral(BaseModel):
    """All that is stored of a referral. Times are ISO 8601 in UTC, ending in Z."""

    model_config = ConfigDict(extra="forbid")

    referral_id: str
    engagement_id: str | None
    external_reference_id: str | None
    name: str | None
    status: str | None
    substatus: str | None
    type: str | None
    referral_type: str
    qualification: str | None
    direction: str | None
    customer_name: str | None
    customer_country: str | None
    domain: str | None
    domain_source: str | None
    domain_missing_reason: str | None
    domain_candidates: list[dict[str, Any]]
    link_status: str
    deal_value: float | None = Field(description=DIGITS)
    currency: str | None
    created_at: datetime | None
    updated_at: datetime | None
    expires_at: datetime | None
    closing_at: datetime | None
    missing_since: datetime | None = Field(description="Since when the API no longer has it; null while it has.")
    first_synced_at: datetime
    first_run_id: str
    synced_at: datetime
    last_run_id: str
    raw_data: Any = Field(
        description="The JSON as Partner Center sent it, numbers with all their digits. Names, e-mail addresses, "
        "phone numbers and notes are *** for users who may not edit the DAG."
    )


class Refusal(BaseModel):
    """Why there is no answer, in a sentence."""

    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "Nobody is logged in to Airflow."},
    403: {"model": Refusal, "description": "The user may not read the account's DAG."},
    404: {"model": Refusal, "description": "There is no such account or referral."},
    503: {"model": Refusal, "description": "The warehouse does not answer; try again later."},
}
LIST_EXAMPLE = {
    "referrals": [
        {
            "referral_id": "3f2a7c1e-0d5b-4b5e-9a51-0a6f0f2b7c11", "name": "Migration to the cloud",
            "customer_name": "Nordwind Traders", "customer_country": "FI", "status": "Active",
            "substatus": "Accepted", "referral_type": "co-sell", "direction": "Incoming", "link_status": "linked",
            "domain": "nordwind.example", "candidates": 1, "deal_value": 12500.50, "currency": "EUR",
            "created_at": "2026-10-01T08:00:00Z", "updated_at": "2026-11-02T09:30:00Z",
            "expires_at": "2026-12-01T00:00:00Z", "missing_since": None,
        }
    ],
    "total": 1, "more_than": None, "limit": 50, "offset": 0, "next": None,
}  # fmt: skip
