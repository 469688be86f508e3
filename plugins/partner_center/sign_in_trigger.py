"""Polls the login until a person has entered the device code. No token leaves it: the cache keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from partner_center.errors import SignInRequired
from partner_center.hook import PartnerCenterHook


class DeviceCodeTrigger(BaseTrigger):
    """Wait for the end of a device flow.

    Args:
        flow: MSAL's device flow; its device code is worth nothing without the person's sign-in, and ends in minutes.
    """

    def __init__(self, flow: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flow = flow

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger anew."""
        return "partner_center.sign_in_trigger.DeviceCodeTrigger", {"flow": self.flow}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the masked account, or the reason and message of the refusal."""
        tokens = await asyncio.to_thread(lambda: PartnerCenterHook().tokens)
        while True:
            try:
                token = await asyncio.to_thread(tokens.poll_device_flow, self.flow)
            except SignInRequired as err:
                yield TriggerEvent({"reason": err.reason, "message": err.message})
                return
            if token is not None:
                yield TriggerEvent({"account": token.account})
                return
            await asyncio.sleep(self.flow["interval"])
