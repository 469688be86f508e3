"""What the Referrals API is known to send: its fields and enum values. Whatever else comes is stored and counted.

https://learn.microsoft.com/en-us/partner-center/developer/referrals and the schema of Microsoft's own connector
"Partner Center Referrals", with what third parties published of real payloads (state of November 2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

LONGEST_VALUE = 100
"""Characters kept of an unknown field's name or an unknown value."""

FIELDS = frozenset(
    {
        "id", "engagementId", "name", "organizationId", "organizationName", "externalReferenceId", "createdDateTime",
        "updatedDateTime", "expirationDateTime", "acceptedDateTime", "closedDateTime", "status", "substatus",
        "statusReason", "qualification", "type", "direction", "referralSource", "callToAction", "eTag", "favorite",
        "campaignId", "salesStage", "quality", "isSpam", "mpnId", "referralProgram", "dealSensitivity", "createdVia",
        "lastModifiedVia", "lastRunId", "tags", "registrationStatus", "registrations", "target", "customerProfile",
        "consent", "details", "team", "inviteContext", "trackingInfo", "links", "@odata.context", "@odata.etag",
    }
)  # fmt: skip
CUSTOMER_FIELDS = frozenset({"name", "size", "isMatchingComplete", "address", "team", "ids"})
DETAILS_FIELDS = frozenset(
    {
        "notes", "dealValue", "currency", "closingDateTime", "customerRequestedContact", "customerAction",
        "incentiveLevel", "requirements",
    }
)  # fmt: skip
VALUES: Mapping[str, frozenset[str]] = {
    "status": frozenset({"None", "New", "Active", "Closed"}),
    "substatus": frozenset({"None", "Pending", "Received", "Accepted", "Won", "Lost", "Declined", "Expired"}),
    "type": frozenset({"Independent", "Shared"}),
    "qualification": frozenset({"None", "Direct", "MarketingQualified", "SalesQualified"}),
    "direction": frozenset({"Incoming", "Outgoing"}),
}


class Drift(NamedTuple):
    """Something that the API sent and this package does not know: kind ``field`` or ``value``, where, and what."""

    kind: str
    path: str
    value: str


def unknown_fields(path: str, row: Mapping[str, Any], known: frozenset[str]) -> tuple[Drift, ...]:
    """Return each field that is not known, at a path such as ``details``."""
    if row.keys() <= known:
        return ()
    return tuple(Drift("field", path, name[:LONGEST_VALUE]) for name in row if name not in known)


def unknown_values(*given: Any) -> tuple[Drift, ...]:
    """Return each enum value that is not documented; null is no value, and anything but text is unknown.

    Args:
        given: the values of `VALUES`' fields, in their order.
    """
    return _unknown_values(*(value if isinstance(value, str | None) else _Shape(value) for value in given))


class _Shape(str):
    """Stands for a value that is no text by the name of its type."""

    __slots__ = ()

    def __new__(cls, value: object) -> _Shape:
        return super().__new__(cls, f"<{type(value).__name__}>")


@lru_cache(maxsize=1_024)
def _unknown_values(*given: Any) -> tuple[Drift, ...]:
    return tuple(
        Drift("value", path, str(value)[:LONGEST_VALUE])
        for (path, known), value in zip(VALUES.items(), given, strict=True)
        if value is not None and value not in known
    )
