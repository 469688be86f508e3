"""One complete referral, with every property that the API is known to send."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

NAMESPACE = uuid.UUID("5eed5eed-0000-4000-8000-000000000000")
OWN_ORGANIZATION = "2f6f1d5c-0000-4000-8000-00000000beef"
OTHER_PARTNER = "9c1b7e22-0000-4000-8000-00000000cafe"
FIRST_DAY = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)

# Category -> type, qualification, who invited; see the three rules of the API's introduction.
CATEGORIES: dict[str, tuple[str, str, str | None]] = {
    "marketplace": ("Independent", "Direct", "msft"),
    "marketplace-uninvited": ("Independent", "Direct", None),
    "qualified-lead": ("Independent", "SalesQualified", "msft"),
    "qualified-lead-marketing": ("Independent", "MarketingQualified", "msft"),
    "co-sell": ("Shared", "SalesQualified", OWN_ORGANIZATION),
    "co-sell-partner": ("Independent", "None", OTHER_PARTNER),
    "unclassified": ("Shared", "Direct", "msft"),
}
ORGANIZATIONS = {"msft": "Microsoft", OWN_ORGANIZATION: "Hunter Partner", OTHER_PARTNER: "Second Partner"}


def guid(seed: str) -> str:
    """Give the same guid for the same seed."""
    return str(uuid.uuid5(NAMESPACE, seed))


def stamp(seconds: float, digits: int = 7) -> str:
    """Write a time after the first day, with a number of fraction digits."""
    moment = FIRST_DAY + timedelta(seconds=seconds)
    fraction = f"{moment.microsecond:06d}3"[:digits]
    return f"{moment:%Y-%m-%dT%H:%M:%S}" + (f".{fraction}" if fraction else "") + "Z"


def member(first: str, last: str, email: str | None, phone: str = "+358200000001") -> dict[str, Any]:
    """Give a contact of the customer."""
    return {
        "firstName": first,
        "lastName": last,
        "phoneNumber": phone,
        "email": email,
        "title": None,
        "contactPreference": {"locale": "en-us", "disableNotifications": False},
    }


def profile(name: str, country: str, city: str, team: Any, ids: Any) -> dict[str, Any]:
    """Give a customer profile; team and ids take any shape."""
    return {
        "name": name,
        "size": "51to250employees",
        "isMatchingComplete": True,
        "address": {
            "addressLine1": "Main Street 4",
            "addressLine2": None,
            "city": city,
            "state": None,
            "postalCode": "20100",
            "country": country,
            "region": None,
        },
        "team": team,
        "ids": ids,
    }


def details(value: Any, currency: str | None, notes: str, product: str) -> dict[str, Any]:
    """Give what is to be sold."""
    solution = {"id": guid(product), "name": product, "type": "Name", "price": None, "quantity": 1}
    return {
        "notes": notes,
        "dealValue": value,
        "currency": currency,
        "closingDateTime": "2027-01-31T00:00:00Z",
        "customerRequestedContact": True,
        "customerAction": None,
        "incentiveLevel": None,
        "requirements": {
            "industries": [{"id": "manufacturing"}],
            "products": [{"id": product}],
            "services": [{"id": "deployment"}],
            "solutions": [solution | {"currency": currency, "publisherName": "Hunter Partner"}],
            "offers": [],
            "salesPlays": [],
            "additionalRequirements": {"iot": None, "attributes": []},
        },
    }


def referral(  # noqa: PLR0913 - what a data set varies
    seed: str,
    *,
    customer: dict[str, Any],
    deal: dict[str, Any],
    category: str = "co-sell",
    status: str = "New",
    substatus: str = "Pending",
    direction: str = "Incoming",
    created: float = 0,
    updated: float = 60,
    digits: int = 7,
) -> dict[str, Any]:
    """Give a referral; created and updated are seconds after the first day."""
    kind, qualification, inviter = CATEGORIES[category]
    own, engagement = guid(seed), guid(f"engagement of {seed}")
    marketplace = qualification == "Direct"
    invite = {
        "notes": "",
        "assistanceRequestCode": "GeneralOrOther",
        "invitedMpnId": None,
        "invitedBy": {"organizationId": inviter, "organizationName": ORGANIZATIONS.get(inviter or "")},
    }
    return {
        "id": own,
        "engagementId": engagement,
        "name": f"{deal['requirements']['products'][0]['id']} for {customer['name']}",
        "organizationId": OWN_ORGANIZATION,
        "organizationName": ORGANIZATIONS[OWN_ORGANIZATION],
        "externalReferenceId": "",
        "createdDateTime": stamp(created, digits),
        "updatedDateTime": stamp(updated, digits),
        "expirationDateTime": stamp(created + 14 * 86400, 0) if status == "New" else None,
        "acceptedDateTime": stamp(updated, digits) if status == "Active" else None,
        "closedDateTime": stamp(updated, digits) if status == "Closed" else None,
        "status": status,
        "substatus": substatus,
        "statusReason": "Not a fit for our region" if substatus == "Declined" else None,
        "qualification": qualification,
        "type": kind,
        "direction": direction,
        "referralSource": "Marketplace" if marketplace else None,
        "callToAction": "Contact me" if marketplace else None,
        "eTag": f'"{guid("tag of " + seed)}"',
        "favorite": False,
        "campaignId": None,
        "salesStage": "Qualify",
        "quality": "Unknown",
        "isSpam": False,
        "mpnId": "6543210",
        "referralProgram": None,
        "dealSensitivity": "None",
        "createdVia": None,
        "lastModifiedVia": None,
        "lastRunId": None,
        "tags": [],
        "registrationStatus": "None",
        "registrations": [],
        "target": [{"type": "BusinessProfileLocation", "id": guid("location")}],
        "customerProfile": customer,
        "consent": {
            "consentToContact": True,
            "consentToToShareInfoWithOthers": True,
            "consentToShareReferralWithMicrosoftSellers": True,
            "consentToMicrosoftToContactSpecificPartners": False,
        },
        "details": deal,
        "team": [{"firstName": "Mia", "lastName": "Berg", "email": "mia@partner.example", "phoneNumber": "000"}],
        "inviteContext": None if inviter is None else invite,
        "trackingInfo": {"microsoftMsxId": None, "migratedPSCDealId": None, "migratedPSCPartnerDealId": None},
        "links": {
            # The misspelt path is as the service sends it: nobody is to follow these.
            "relatedReferrals": {"uri": f"/v1.0/engagments/referrals?$filter=engagementId eq {engagement}"},
            "self": {"uri": f"/v1.0/engagments/referrals/{own}", "method": "GET"},
        },
    }
