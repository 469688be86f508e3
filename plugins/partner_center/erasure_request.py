"""Who is to be erased. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from partner_center.erased_people import ADDRESS, REFERRAL
from partner_center.errors import ConfigurationError
from partner_center.mail_addresses import addresses, folded
from partner_center.personal import ERASED_NAME, Traces
from partner_center.redaction import mask_email


@dataclass(frozen=True, slots=True)
class Request:
    """Who is to be erased: the person of an e-mail address, or all people of one referral.

    Raises:
        ConfigurationError: what was given is no address, or names nobody.
    """

    address: str | None = None
    referral: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be found, or would be found everywhere."""
        if (self.address is None) == (self.referral is None):
            raise ConfigurationError("Give an e-mail address or the id of a referral, one of the two.")
        if self.referral is not None and not self.referral.strip():
            raise ConfigurationError("The id of the referral is empty.")
        if self.address is not None and list(addresses(self.address)) != [folded(self.address.strip())]:
            raise ConfigurationError(
                "What was given is not one plain e-mail address, such as ann@contoso.com, so nothing was looked for. "
                "For an address of another form, give the referral's id: --referral ID."
            )
        if self.address is not None and folded(self.address.strip()).startswith(f"{ERASED_NAME}@"):
            raise ConfigurationError(f"{self.address.strip()} is what stands in the place of erased people.")

    @property
    def kind(self) -> str:
        """What is given: `address` or `referral`."""
        return ADDRESS if self.address is not None else REFERRAL

    @property
    def value(self) -> str:
        """The address in small letters, or the id."""
        return folded((self.address or "").strip()) or (self.referral or "").strip()

    @property
    def shown(self) -> str:
        """What may stand on a screen or in a log."""
        return f"the person {mask_email(self.value)}" if self.address else f"all people of the referral {self.value}"

    def traces(self) -> Traces:
        """Return what is to be erased, before anything has been read."""
        return Traces(self.value.__eq__, everybody=self.kind == REFERRAL)
