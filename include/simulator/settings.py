"""Every switch of the simulator with its default."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

PAGING_MODES = (
    "https-full",
    "http-noengagements",
    "relative",
    "foreign-host",
    "loop",
    "empty-page",
    "page-mutation",
    "short-page",
)
CHOICES = {
    "paging": PAGING_MODES,
    "noengagements_path": ("404", "works"),
    "skiptoken_match": ("hex-case", "exact"),
    "rotation": ("rotate", "rotate-and-revoke-old", "no-rotate"),
}
MFA = re.compile(r"off|report|enforce|percent:(100|\d{1,2})")


@dataclass
class Settings:
    """What can be switched while the simulator runs; times are seconds."""

    # Listing.
    page_size: int = 100
    max_page_size: int = 200
    paging: str = "https-full"
    noengagements_path: str = "404"
    # urllib3 (so requests, too) sends %2b as %2B, whatever the caller does. RFC 3986 calls both the same,
    # so the default forgives that and nothing else; `exact` compares every byte.
    skiptoken_match: str = "hex-case"
    updated_filter: bool = True
    # Rules of the API.
    strict_request_id: bool = False
    mfa: str = "off"
    # Login.
    interval: int = 1
    device_expires_in: int = 900
    enforce_interval: bool = False
    auto_approve: bool = False
    conditional_access_block: bool = False
    public_client: bool = True
    # Set: what the token endpoint demands, as of a confidential app registration.
    client_secret: str = ""
    wrong_nonce: bool = False
    expires_in: int = 3600
    refresh_in: int | None = None
    refresh_expires_in: int = 90 * 24 * 3600
    refresh_token: bool = True
    rotation: str = "rotate"
    scope_echo: bool = True
    client_info: bool = True
    mfa_in_token: bool = True
    upn: str = "sync@partner.example"
    oid: str = "0b5e55ed-0000-4000-8000-000000000001"

    def update(self, changes: dict[str, Any]) -> None:
        """Set the named switches, all or none.

        Raises:
            ValueError: a name is unknown or a value does not fit it.
        """
        known = {field.name: field.default for field in fields(self)}
        for name, value in changes.items():
            if name not in known:
                problem = f"There is no setting {name!r}; there are {', '.join(known)}."
                raise ValueError(problem)
            self._check(name, value, known[name])
        for name, value in changes.items():
            setattr(self, name, value)

    @staticmethod
    def _check(name: str, value: Any, default: Any) -> None:
        fits = isinstance(value, int | None) if name == "refresh_in" else type(value) is type(default)
        if name in CHOICES:
            fits = value in CHOICES[name]
        elif name == "mfa":
            fits = isinstance(value, str) and MFA.fullmatch(value) is not None
        elif name in ("page_size", "max_page_size"):
            fits = fits and value > 0
        if not fits:
            problem = f"The setting {name!r} cannot be {value!r}."
            raise ValueError(problem)

    def as_dict(self) -> dict[str, Any]:
        """All switches by name."""
        return asdict(self)
