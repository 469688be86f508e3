"""The ways by which alerts go out: e-mail and whatever Apprise can reach, each over an Airflow connection."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from partner_center.alert_texts import Text
from partner_center.errors import AlertNotSent, ConfigurationError
from partner_center.settings import ALERT_APPRISE_CONNECTION_ID, ALERT_EMAIL_CONNECTION_ID

HOW_TO_BE_TOLD = (
    f"Add a connection {ALERT_EMAIL_CONNECTION_ID} (type smtp; extras from_email and to) or "
    f"{ALERT_APPRISE_CONNECTION_ID} (type apprise: Teams, Slack and others) under Admin > Connections."
)
_EMAIL, _APPRISE = "email", "apprise"


class Channel(Protocol):
    """A way to tell people; `name` stands in the stored state, `title` in sentences."""

    @property
    def name(self) -> str:
        """What the state calls it."""

    @property
    def title(self) -> str:
        """What people call it."""

    def check(self) -> None:
        """Raise `ConfigurationError` where its connection cannot be right; nothing is sent."""

    def send(self, text: Text) -> None:
        """Send a message.

        Raises:
            ConfigurationError: the connection cannot be right.
            AlertNotSent: it was not taken.
        """


@dataclass(frozen=True, slots=True)
class Email:
    """E-mail, by the connection's own server, from and to whom its extras say."""

    extra: dict[str, Any]
    name: str = _EMAIL
    title: str = "e-mail"

    def check(self) -> None:
        """See `Channel`."""
        self._addresses()

    def send(self, text: Text) -> None:
        """See `Channel`."""
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        sender, to = self._addresses()
        notifier = SmtpNotifier(
            smtp_conn_id=ALERT_EMAIL_CONNECTION_ID,
            from_email=sender,
            to=to,
            subject=text.subject,
            html_content=text.html,
        )
        try:
            # Not by calling the notifier: that would render the texts of others as templates.
            notifier.notify({})
        except Exception as err:  # noqa: BLE001 - whatever libraries raise, the other channels still have to be told
            raise _not_sent(self.title, type(err).__name__, ALERT_EMAIL_CONNECTION_ID) from None

    def _addresses(self) -> tuple[str, list[str]]:
        given = self.extra.get("to") or []
        listed = given.split(",") if isinstance(given, str) else given
        to = [str(each).strip() for each in listed if str(each).strip()] if isinstance(listed, list) else []
        sender = str(self.extra.get("from_email") or "").strip()
        if not to or not sender:
            missing = "from_email (who sends)" if to else "to (who is told: a list, or text with commas)"
            raise ConfigurationError(
                f"The connection {ALERT_EMAIL_CONNECTION_ID} has no {missing}, so no e-mail can be sent. Add it to its "
                "extra."
            )
        return sender, to


@dataclass(frozen=True, slots=True)
class Service:
    """One service that Apprise reaches, by an address that holds its secrets."""

    service: Any
    number: int = 1

    @property
    def name(self) -> str:
        """See `Channel`; by its place, since the address is a secret."""
        return f"{_APPRISE}:{self.number}"

    @property
    def title(self) -> str:
        """See `Channel`."""
        return f"service {self.number} of {ALERT_APPRISE_CONNECTION_ID}"

    def check(self) -> None:
        """See `Channel`."""
        self._opened()

    def send(self, text: Text) -> None:
        """See `Channel`."""
        opened = self._opened()
        try:
            # Apprise's own library and not Airflow's notifier, which does not say whether the service took it.
            with _muted():
                is_sent = opened.notify(body=text.body, title=text.subject, notify_type=text.weight)
        except Exception as err:  # noqa: BLE001 - whatever its plug-ins raise, the other channels have to be told
            raise _not_sent(self.title, type(err).__name__, ALERT_APPRISE_CONNECTION_ID) from None
        if not is_sent:
            raise _not_sent(self.title, "it did not take the message", ALERT_APPRISE_CONNECTION_ID)

    def _opened(self) -> Any:
        import apprise

        opened = apprise.Apprise()
        path = self.service.get("path") if isinstance(self.service, dict) else None
        with _muted():
            is_known = isinstance(path, str) and opened.add(path)
        if not is_known:
            raise ConfigurationError(
                f"The config of {ALERT_APPRISE_CONNECTION_ID} has no address at place {self.number} that Apprise "
                'knows, so nobody is told by it. Give it as {"path": "…"}, or a list of such.'
            )
        return opened


def channels() -> list[Channel]:
    """Return the ways that have a connection, be it right or not."""
    found: list[Channel] = []
    if (mail := _connection(ALERT_EMAIL_CONNECTION_ID)) is not None:
        found.append(Email(mail.extra_dejson))
    if (other := _connection(ALERT_APPRISE_CONNECTION_ID)) is not None:
        found += [Service(each, number) for number, each in enumerate(_services(other), 1)]
    return found


def is_email(channel: str) -> bool:
    """Say whether a channel's name is that of the e-mail."""
    return channel == _EMAIL


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Keep Apprise from logging: it tells an address that it does not know, with the secret in it."""
    logger = logging.getLogger("apprise")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _services(connection: Any) -> Iterable[Any]:
    from airflow.providers.apprise.hooks.apprise import AppriseHook

    try:
        config = AppriseHook(ALERT_APPRISE_CONNECTION_ID).get_config_from_conn(connection)
    except (KeyError, ValueError):
        config = None
    return config if isinstance(config, list) and config else [config]


def _connection(connection_id: str) -> Any:
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    try:
        return BaseHook.get_connection(connection_id)
    except AirflowNotFoundException:
        return None


def _not_sent(title: str, why: str, connection_id: str) -> AlertNotSent:
    # Not the error's text: it may hold an address, or the secret in one.
    return AlertNotSent(
        f"An alert could not be sent by {title} ({why}). It is kept and sent with the next look, in 5 minutes. If it "
        f"lasts, check the connection {connection_id} and whether its server is reached from here."
    )
