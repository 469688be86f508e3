"""Sign-in by device code from Airflow's UI: the task shows address and code in its log and frees its worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator


class SignInOperator(BaseOperator):
    """Start a device flow, wait for the person in the triggerer, and say who is signed in."""

    def execute(self, context: Any) -> None:  # noqa: ARG002 - Airflow's signature
        """Show where to sign in, then defer."""
        from partner_center.hook import PartnerCenterHook
        from partner_center.sign_in import instructions
        from partner_center.sign_in_trigger import DeviceCodeTrigger

        flow = PartnerCenterHook().tokens.start_device_flow()
        for line in instructions(flow):
            self.log.info(line)
        self.defer(
            trigger=DeviceCodeTrigger(flow),
            method_name="resume",
            timeout=timedelta(seconds=flow["expires_in"] + 60),
        )

    def resume(self, context: Any, event: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002 - Airflow's signature
        """Report the outcome.

        Raises:
            SignInRequired: the person declined, or the code ended.
        """
        from partner_center.errors import SignInRequired

        if "reason" in event:
            raise SignInRequired(event["reason"], event["message"])
        self.log.info("Signed in as %s. The next run of the sync uses it.", event["account"])
        return {"account": event["account"]}
