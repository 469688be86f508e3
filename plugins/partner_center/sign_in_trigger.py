"""Polls the login until a person has entered the device code. No token leaves it: the cache keeps them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from partner_center import device_flows
from partner_center.errors import ApiUnavailable, ConfigurationError, SignInRequired
from partner_center.hook import PartnerCenterHook
from partner_center.reasons import REASONS
from partner_center.retrying import retried


class DeviceCodeTrigger(BaseTrigger):
    """Wait for the end of a device flow.

    Args:
        partner_center_conn_id: the account's connection.
        flow: name of the Variable that keeps MSAL's device flow; no secret is among the arguments.
    """

    def __init__(self, partner_center_conn_id: str, flow: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.partner_center_conn_id = partner_center_conn_id
        self.flow = flow

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger anew."""
        kwargs = {"partner_center_conn_id": self.partner_center_conn_id, "flow": self.flow}
        return "partner_center.sign_in_trigger.DeviceCodeTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: that somebody has signed in, or the reason of the refusal with its message."""
        try:
            outcome = await self._outcome()
        except (SignInRequired, ConfigurationError) as err:
            outcome = {"reason": err.reason, "message": err.message}
        except ApiUnavailable as err:
            outcome = {"reason": err.reason, "message": str(err)}
        yield TriggerEvent({"flow": self.flow, **outcome})

    async def _outcome(self) -> dict[str, str]:
        tokens = await asyncio.to_thread(lambda: PartnerCenterHook(self.partner_center_conn_id).tokens)
        flow = await asyncio.to_thread(retried, lambda: device_flows.read(self.flow))
        while time.time() < flow["expires_at"] + flow["interval"]:
            try:
                token = await asyncio.to_thread(tokens.poll_device_flow, flow)
            except ApiUnavailable as err:
                # The person may still be at Microsoft's page: the code is good until it ends.
                self.log.warning("%s", err)
                token = None
            if token is not None:
                return {"account": token.account}
            await asyncio.sleep(flow["interval"])
        return {"reason": "code_expired", "message": REASONS["code_expired"].tell()}
