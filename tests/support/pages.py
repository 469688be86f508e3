"""What tests of the pages share: where Airflow is reached, and what browsers send."""

from __future__ import annotations

from typing import Any

AIRFLOW = "http://localhost:8080"
ROOT = "/partner-center"
OWN = {"sec-fetch-site": "same-origin"}
HTMX = {**OWN, "hx-request": "true"}
HTML = {"accept": "text/html,*/*;q=0.8"}


def variables_now() -> dict[str, Any]:
    """Return Airflow's Variables, as far as their key opens them."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return {each.key: each.val for each in session.scalars(select(Variable))}
