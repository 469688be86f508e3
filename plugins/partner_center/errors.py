"""Errors by what follows from them: the retry policy and the one skip branch on the class, never on a text."""

from __future__ import annotations


class PartnerCenterError(Exception):
    """Root of all errors of this package: the run fails at once, a retry would not help."""

    reason = ""
    """One of the codes of ``reasons.py`` where a sign-in or the rights of an account are in question, else empty."""


class ConfigurationError(PartnerCenterError):
    """A setting, connection or Variable is wrong or missing; a person has to change it.

    Args:
        message: what happened, what it means, what to do next.
        reason: one of the codes of ``reasons.py``, or empty.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(f"{message} [{reason}]" if reason else message)
        self.reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[str, str]]:
        return type(self), (self.message, self.reason)


class _Refused(PartnerCenterError):
    """Something was refused for one of the reasons of ``reasons.py``.

    Args:
        reason: its code.
        message: what happened, what it means, what to do next.
        claims: what a claims challenge asks of the next sign-in, as JSON; no secret.
    """

    def __init__(self, reason: str, message: str, claims: str | None = None) -> None:
        super().__init__(f"{message} [{reason}]")
        self.reason = reason
        self.message = message
        self.claims = claims

    def __reduce__(self) -> tuple[type[_Refused], tuple[str, str, str | None]]:
        return type(self), (self.reason, self.message, self.claims)


class SignInRequired(_Refused):
    """Nobody is signed in any more: a person has to sign in (again)."""


class AccessDenied(_Refused):
    """The account is signed in but may not read referrals (HTTP 403)."""


class RequestRefused(PartnerCenterError):
    """The API refused the request itself; the same request would be refused again.

    Args:
        status: HTTP status.
        message: what happened, what it means, what to do next.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[RequestRefused], tuple[int, str]]:
        return type(self), (self.status, str(self))


class UnsafeNextLink(PartnerCenterError):
    """A next link leads to another host, or repeats: following it could leak the token or never end."""


class PageLimitReached(PartnerCenterError):
    """``max_pages`` was reached while the API had more."""


class SchemaBehind(ConfigurationError):
    """The warehouse's schema is older than the code, and bringing it up to date is switched off."""


class CountMismatch(PartnerCenterError):
    """The run's accounts do not add up, or eligible referrals are missing from the table."""


class ImplausibleSweep(PartnerCenterError):
    """A full read no longer found so many stored referrals that the read itself is in doubt; nothing was changed."""


class TooManyQuarantined(PartnerCenterError):
    """More rows than the settings allow could not be stored; the good ones are."""


class ApiUnavailable(PartnerCenterError):
    """The login or the API could not be reached, throttled, or answered garbage: worth another try.

    So are its subclasses: an outside world of ours that does not answer just now.

    Args:
        message: what happened, what it means, what to do next.
        retry_after: seconds that the service asked to wait, when it did.
        reason: one of the codes of ``reasons.py``, or empty.
    """

    def __init__(self, message: str, retry_after: float | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason

    def __reduce__(self) -> tuple[type[ApiUnavailable], tuple[str, float | None, str]]:
        return type(self), (str(self), self.retry_after, self.reason)


class ErasedMeanwhile(ApiUnavailable):
    """A person was erased while a run was reading: what it has read may hold that person and is read anew."""


class VariableUnreadable(ApiUnavailable):
    """An Airflow Variable exists, or may exist, and could not be read: it must not count as absent."""


class AlertNotSent(ApiUnavailable):
    """A channel did not take an alert; it is kept and sent with the next look."""
