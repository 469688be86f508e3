"""Sign-in by device code from Airflow's UI: the task shows address and code in its log and frees its worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink

ADDRESS = "sign_in_address"


class SignInLink(BaseOperatorLink):
    """A button of the task that opens Microsoft's page for the code; the code stands behind the # of the address."""

    name = "Sign in at Microsoft"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the address while the task waits; none once it has ended."""
        return str(getattr(operator, ADDRESS, ""))


class SignInOperator(BaseOperator):
    """Start a device flow, wait for the person in the triggerer, and say who is signed in.

    Args:
        partner_center_conn_id: the account's connection.
    """

    template_fields: Sequence[str] = ("partner_center_conn_id",)
    operator_extra_links = (SignInLink(),)

    def __init__(self, *, partner_center_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partner_center_conn_id = partner_center_conn_id

    def execute(self, context: Any) -> None:  # noqa: ARG002 - Airflow's signature
        """Show where to sign in, then defer."""
        from partner_center import device_flows, log_fields
        from partner_center.hook import PartnerCenterHook
        from partner_center.sign_in import instructions
        from partner_center.sign_in_trigger import DeviceCodeTrigger

        tokens = PartnerCenterHook(self.partner_center_conn_id).tokens
        tokens.signed_in()  # raises where nothing could be kept, before a person takes the trouble
        flow = tokens.start_device_flow()
        with log_fields.of(self.partner_center_conn_id):
            for line in instructions(flow):
                self.log.info(line)
        setattr(self, ADDRESS, f"{flow['verification_uri']}#{flow['user_code']}")
        self.defer(
            trigger=DeviceCodeTrigger(self.partner_center_conn_id, device_flows.keep(flow)),
            method_name="resume",
            timeout=timedelta(seconds=flow["expires_in"] + 60),
        )

    def resume(self, context: Any, event: Mapping[str, Any]) -> dict[str, str]:  # noqa: ARG002 - Airflow's signature
        """Make one real call and report who is signed in.

        Raises:
            SignInRequired: the person declined, or the code ended.
            ConfigurationError: the login does not accept the app registration.
            AccessDenied: signed in, but the account may read no referrals.
        """
        from partner_center import device_flows, log_fields
        from partner_center.errors import ConfigurationError, SignInRequired
        from partner_center.reasons import CONFIGURATION
        from partner_center.sign_in import report

        device_flows.forget(event["flow"])
        if "message" in event:
            reason, message = event["reason"], event["message"]
            if not reason or reason in CONFIGURATION:
                raise ConfigurationError(message, reason)
            raise SignInRequired(reason, message)
        found = report(self.partner_center_conn_id)
        with log_fields.of(self.partner_center_conn_id):
            for line in found.lines():
                self.log.info(line)
        found.raise_if_refused()
        return {"account": found.account, "tenant_id": found.tenant_id}
