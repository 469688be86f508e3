"""Health for whoever watches, and metrics for Prometheus."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from partner_center.accounts import DEFAULT
from partner_center.errors import PartnerCenterError
from partner_center.settings import CONNECTION_ID
from partner_center.ui import guards, metrics
from partner_center.ui.health import Health, Status, health, of_no_account

router = APIRouter()


class HealthAnswer(BaseModel):
    """How the sync is; no secret, no personal data."""

    partner_center_enabled: bool
    status: Status
    last_success_at: str | None
    reason: str


@router.get(
    "/healthz",
    summary="How the sync is",
    response_model=HealthAnswer,
    responses={
        404: {"description": "There is no such account."},
        503: {
            "model": HealthAnswer,
            "description": "sign_in_required, stale or failing: somebody has to act.",
        },
    },
)
def healthz(connection: guards.Connection = CONNECTION_ID) -> Response:
    """Say how an account's sync is: 200 for ok and disabled, otherwise 503. Public.

    Raises:
        HTTPException: 404, there is no such account.
    """
    try:
        # The default account is there whatever the list of the others says.
        account = DEFAULT if connection == CONNECTION_ID else guards.listed_account(connection)
    except PartnerCenterError as err:
        return _answer(of_no_account(err))
    return _answer(health(account))


@router.get("/metrics", summary="Metrics for Prometheus", responses={200: {"content": {"text/plain": {}}}})
def show_metrics(account: guards.Readable) -> Response:
    """Give an account's metrics in Prometheus' text format."""
    return Response(metrics.exposition(account), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _answer(found: Health) -> Response:
    answer = HealthAnswer(
        partner_center_enabled=found.is_enabled,
        status=found.status,
        last_success_at=_text(found.last_success_at),
        reason=found.reason,
    )
    return JSONResponse(answer.model_dump(), 200 if found.is_good else 503)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
