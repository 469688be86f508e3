"""Sign-in by device code, by browser, or with a refresh token from elsewhere, for whoever can show a person some lines.

Script, DAG and page end alike: what was kept is read back, one real call is made, and a `Report` says who is signed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from partner_center.errors import ApiUnavailable, PartnerCenterError
from partner_center.hook import PartnerCenterHook
from partner_center.retrying import once

BROWSER_SECONDS = 600
"""So long a person may take at Microsoft's page: as long as an authorization code lives, and no longer."""


@dataclass(frozen=True, slots=True)
class Report:
    """Who is signed in, read back from where it is kept, and what one real call has shown.

    `problem` is None where the account may read referrals; otherwise it says why not, or why that is not known.
    """

    account: str
    tenant_id: str
    ends_at: datetime | None
    problem: PartnerCenterError | None = None

    def raise_if_refused(self) -> None:
        """Raise the problem, unless it is only that the API does not answer: that says nothing about the account."""
        if self.problem is not None and not isinstance(self.problem, ApiUnavailable):
            raise self.problem

    def lines(self) -> list[str]:
        """Return what a person has to know, the name masked."""
        until = f"until {self.ends_at:%Y-%m-%d}, and 90 days from every later run" if self.ends_at else "for 90 days"
        told = [f"Signed in as {self.account} in the tenant {self.tenant_id}, {until}."]
        if self.problem is None:
            return [*told, "Partner Center lets this account read referrals. The next run of the sync uses it."]
        return [*told, f"The sign-in is kept, but one call with it failed: {self.problem}"]


def instructions(flow: Mapping[str, Any]) -> list[str]:
    """Return what a person has to read to complete a device flow."""
    return [
        f"Open {flow['verification_uri']} in a browser, on any device, and sign in to Partner Center there.",
        f"Code: {flow['user_code']}",
        f"Waiting; the code ends in {flow['expires_in'] // 60} minutes.",
        "If the page says that access is blocked, a policy blocks device codes: use the sign-in by browser.",
    ]


def by_device_code(show: Callable[[str], None], hook: PartnerCenterHook) -> Report:
    """Show where to sign in, wait for it, keep the tokens, and report.

    Raises:
        SignInRequired: the person declined, or the code ended.
        ApiUnavailable, ConfigurationError: as `TokenSource.start_device_flow`.
    """
    hook.tokens.signed_in()  # raises where nothing could be kept, before a person takes the trouble
    flow = hook.tokens.start_device_flow()
    for line in instructions(flow):
        show(line)
    hook.tokens.finish_device_flow(flow)
    return report(hook.partner_center_conn_id)


def by_browser(show: Callable[[str], None], hook: PartnerCenterHook, port: int) -> Report:
    """Sign in with a browser that comes back to a port of this machine, keep the tokens, and report.

    Args:
        show: gets the lines for the person.
        hook: of the account.
        port: to listen on, 0 for any; the redirect URI is http://localhost with it.

    Raises:
        SignInRequired: nobody came back within 10 minutes, or declined.
        ApiUnavailable, ConfigurationError: as `TokenSource.start_browser_flow`.
    """
    from msal.oauth2cli.authcode import AuthCodeReceiver

    from partner_center.login import refusal

    hook.tokens.signed_in()
    with AuthCodeReceiver(port=port) as receiver:
        address = f"http://localhost:{receiver.get_port()}"
        flow = hook.tokens.start_browser_flow(address, response_mode="form_post")
        show("Open this address in a browser on this machine, and sign in to Partner Center there:")
        show(flow["auth_uri"])
        show(f"On another machine, first: ssh -L {receiver.get_port()}:localhost:{receiver.get_port()} <this machine>")
        answer = receiver.get_auth_response(timeout=BROWSER_SECONDS, state=flow["state"])
    if answer is None:
        raise refusal("answer_mismatch", {"error_description": "nobody came back from the browser in time"})
    hook.tokens.finish_browser_flow(flow, answer)
    return report(hook.partner_center_conn_id)


def by_refresh_token(refresh_token: str, hook: PartnerCenterHook) -> Report:
    """Redeem a refresh token from elsewhere, keep what comes, and report.

    Raises:
        SignInRequired, ApiUnavailable, ConfigurationError: as `TokenSource.adopt`.
    """
    hook.tokens.signed_in()
    hook.tokens.adopt(refresh_token)
    return report(hook.partner_center_conn_id)


def report(connection_id: str) -> Report:
    """Read the kept tokens back with a new hook, make one real call, and say what came of it.

    Raises:
        SignInRequired, ApiUnavailable, ConfigurationError: what was kept gives no token.
    """
    hook = PartnerCenterHook(connection_id)
    problem = None
    with once():  # a person is waiting
        token, kept = hook.tokens.current(), hook.tokens.signed_in()
        try:
            hook.client.probe()
        except PartnerCenterError as err:
            problem = err
    return Report(token.account, token.tenant_id, kept.ends_at if kept else None, problem)
