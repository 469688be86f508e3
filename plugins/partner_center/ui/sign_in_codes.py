"""Sign-ins by device code that a page has begun, each of one user of Airflow, polled as slowly as the login wants.

A flow waits in the Variable of `device_flows`, with who began it and when the login may be asked again: whatever tab,
worker or impatient person asks, the login hears one at a time. The device code never leaves this module.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import Any

from partner_center import airflow_store, device_flows
from partner_center.accounts import Account
from partner_center.errors import ApiUnavailable, ConfigurationError, PartnerCenterError, SignInRequired
from partner_center.hook import PartnerCenterHook
from partner_center.login import LOGIN_TIMEOUT, refusal
from partner_center.retrying import once
from partner_center.sign_in import Report, report

log = logging.getLogger(__name__)

MOST_OPEN = 3
"""Sign-ins that one user may have waiting."""

_BEGUN_BY, _CONNECTION, _NEXT_AT = "begun_by", "connection_id", "next_at"


class TooManyOpen(PartnerCenterError):
    """The user has begun several sign-ins that still wait."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a person has to read.

    Attributes:
        key: names the flow in addresses; a hash, no secret.
        address: of the login's page for codes.
        user_code: to be entered there.
        interval: seconds between two questions to the login.
        minutes: until the code ends.
    """

    key: str
    address: str
    user_code: str
    interval: int
    minutes: int


def begin(account: Account, user_id: str) -> str:
    """Begin a sign-in for a user and return its key.

    Raises:
        TooManyOpen: the user has begun several already.
        ApiUnavailable, ConfigurationError: as `TokenSource.start_device_flow`.
    """
    waiting = [device_flows.parsed(text) for text in airflow_store.starting_with(device_flows.VARIABLE_PREFIX).values()]
    now = time.time()
    if sum(1 for flow in waiting if flow and flow.get(_BEGUN_BY) == user_id and flow["expires_at"] > now) >= MOST_OPEN:
        raise TooManyOpen(
            f"{MOST_OPEN} sign-ins that you have begun still wait for their codes, so no further one was begun. "
            "Complete one of them, or wait for 15 minutes."
        )
    tokens = PartnerCenterHook(account.connection_id).tokens
    tokens.signed_in()  # raises where nothing could be kept, before a person takes the trouble
    with once():  # a person is waiting
        flow = tokens.start_device_flow()
    owned = {**flow, _BEGUN_BY: user_id, _CONNECTION: account.connection_id, _NEXT_AT: time.time() + flow["interval"]}
    return device_flows.keep(owned).removeprefix(device_flows.VARIABLE_PREFIX)


def show(key: str, account: Account, user_id: str) -> Code:
    """Return what a person has to read.

    Raises:
        SignInRequired: there is no such sign-in of the user (any more).
        VariableUnreadable: it cannot be read.
    """
    flow = _own(airflow_store.get(_name(key)), account, user_id)
    minutes = max(1, round((flow["expires_at"] - time.time()) / 60))
    return Code(key, str(flow["verification_uri"]), str(flow["user_code"]), int(flow["interval"]), minutes)


def poll(key: str, account: Account, user_id: str) -> Report | None:
    """Ask the login once whether the person has signed in, if it is time to; None while they have not.

    Raises:
        SignInRequired: as `show`, or the person declined, or the code ended.
        ApiUnavailable, ConfigurationError: as `sign_in.report`.
    """
    flow = _claimed(key, account, user_id)
    if flow is None:
        return None
    try:
        with once():
            token = PartnerCenterHook(account.connection_id).tokens.poll_device_flow(flow)
    except (SignInRequired, ConfigurationError):
        device_flows.forget(_name(key))
        raise
    except ApiUnavailable as err:
        log.warning("%s", err)  # the person may still be at Microsoft's page: the code is good until it ends
        token = None
    if token is None:
        waiting = json.dumps({**flow, _NEXT_AT: time.time() + flow["interval"]})
        airflow_store.change(_name(key), lambda _: waiting)
        return None
    device_flows.forget(_name(key))
    return report(account.connection_id)


def _claimed(key: str, account: Account, user_id: str) -> dict[str, Any] | None:
    """Return the flow where the login may be asked now, and keep others from asking meanwhile; else None."""
    claimed: list[dict[str, Any]] = []

    def claim(text: str | None) -> str | None:
        flow, now = _own(text, account, user_id), time.time()
        if flow[_NEXT_AT] > now:
            return None
        claimed.append(flow)
        return json.dumps({**flow, _NEXT_AT: now + flow["interval"] + 2 * LOGIN_TIMEOUT})

    airflow_store.change(_name(key), claim)
    return claimed[0] if claimed else None


def _own(text: str | None, account: Account, user_id: str) -> dict[str, Any]:
    """Return a flow that this user began for this account.

    Raises:
        SignInRequired: it is another one's, has ended, or is there no more: nobody learns which.
    """
    flow = device_flows.parsed(text)
    if flow is None or (flow.get(_BEGUN_BY), flow.get(_CONNECTION)) != (user_id, account.connection_id):
        raise refusal("code_expired", {})
    return flow


def _name(key: str) -> str:
    return device_flows.VARIABLE_PREFIX + key
