"""What Airflow's API server and its UI get from the package.

Airflow loads this file in every process, tasks too, so it imports nothing of the package; Airflow asks for the app in
the API server alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

# All addresses are relative to the base of Airflow's pages, which may have a path of its own.
_ICON = "partner-center/static/icon.svg"


class PartnerCenterPlugin(AirflowPlugin):
    """The pages under /partner-center, in the navigation and on each DAG's page."""

    name = "partner_center"
    external_views = [  # noqa: RUF012 - Airflow's own shape
        {
            "name": "Referrals",
            "href": "partner-center/",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "partner-center",
            "icon": _ICON,
        },
        {
            "name": "Referrals",
            "href": "partner-center/?dag={DAG_ID}",
            "destination": "dag",
            "url_route": "partner-center-dag",
            "icon": _ICON,
        },
        {
            "name": "Partner Center sign-in",
            "href": "partner-center/sign-in",
            "destination": "nav",
            "category": "browse",
            # No url_route: with one, Airflow shows the page in a sandboxed frame, where Microsoft's would not open.
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app under /partner-center, made when Airflow asks for it."""
        from partner_center.ui.addresses import PREFIX
        from partner_center.ui.app import NAME, create_app

        return [{"app": create_app(), "url_prefix": PREFIX, "name": NAME}]
