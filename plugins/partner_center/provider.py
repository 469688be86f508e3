"""What Airflow's connection page shows for the connection type ``partner_center`` (a provider entry point)."""

from __future__ import annotations

from typing import Any


def _field(label: str, description: str, kind: str = "string") -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"]}}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description in Airflow's provider_info.schema.json form."""
    return {
        "package-name": "airflow-provider-partner-center",
        "name": "Microsoft Partner Center",
        "description": "Referrals of Microsoft Partner Center.",
        "hook-class-names": ["partner_center.hook.PartnerCenterHook"],
        "asset-uris": [
            {
                "schemes": ["partner-center"],
                "handler": "partner_center.lineage.api_uri_checked",
                "to_openlineage_converter": "partner_center.lineage.api_to_openlineage",
            }
        ],
        "connection-types": [
            {
                "connection-type": "partner_center",
                "hook-class-name": "partner_center.hook.PartnerCenterHook",
                "hook-name": "Microsoft Partner Center",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port"],
                    "relabeling": {"host": "API address", "password": "Client secret"},
                    "placeholders": {"host": "https://api.partner.microsoft.com"},
                },
                "conn-fields": {
                    "tenant_id": _field("Tenant id", "Entra tenant of the partner."),
                    "client_id": _field(
                        "Client id", "App registration; without a client secret, it allows public client flows."
                    ),
                    "scope": _field("Scope", "Default: https://api.partner.microsoft.com/.default"),
                    "authority": _field("Authority", "Default: https://login.microsoftonline.com/<tenant id>"),
                    "instance_discovery": _field("Instance discovery", "Off for a login host of your own.", "boolean"),
                    "api_version": _field("API version", "Default: v1.0"),
                    "verify": _field("CA bundle", "Path of a CA bundle; empty for the machine's own."),
                },
            }
        ],
    }
