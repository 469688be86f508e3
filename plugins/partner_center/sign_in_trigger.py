"""Polls the login until a person has entered the device code. No token leaves it: the cache keeps them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from partner_center.errors import ApiUnavailable, ConfigurationError, SignInRequired
from partner_center.hook import PartnerCenterHook
from partner_center.reasons import REASONS


class DeviceCodeTrigger(BaseTrigger):
    """Wait for the end of a device flow.

    Args:
        partner_center_conn_id: the account's connection.
        flow: MSAL's device flow; its device code is worth nothing without the person's sign-in, and ends in minutes.
            Airflow keeps it encrypted.
    """

    def __init__(self, partner_center_conn_id: str, flow: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.partner_center_conn_id = partner_center_conn_id
        self.flow = flow

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger anew."""
        kwargs = {"partner_center_conn_id": self.partner_center_conn_id, "flow": self.flow}
        return "partner_center.sign_in_trigger.DeviceCodeTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: that somebody has signed in, or the reason of the refusal with its message."""
        tokens = await asyncio.to_thread(lambda: PartnerCenterHook(self.partner_center_conn_id).tokens)
        while True:
            try:
                token = await asyncio.to_thread(tokens.poll_device_flow, self.flow)
            except (SignInRequired, ConfigurationError) as err:
                yield TriggerEvent({"reason": err.reason, "message": err.message})
                return
            except ApiUnavailable as err:
                # The person may still be at Microsoft's page: the code is good until it ends.
                self.log.warning("%s", err)
                token = None
            if token is not None:
                yield TriggerEvent({"account": token.account})
                return
            if time.time() > self.flow["expires_at"] + self.flow["interval"]:
                yield TriggerEvent({"reason": "code_expired", "message": REASONS["code_expired"].tell()})
                return
            await asyncio.sleep(self.flow["interval"])
