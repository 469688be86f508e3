"""Keeps what Microsoft sends back by the browser out of Airflow's access log, which tells every request's query."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

CALLBACK_PATH = "/sign-in/callback"
_ANSWER = "partner_center.answer"


class WithoutAnswersInLogs:
    """Moves the query of the callback to a place in the scope that no log reads.

    The log (airflow/api_fastapi/common/http_access_log.py) is written last, from the same scope. An authorization code
    is worth nothing without its verifier, but whoever is not logged in, or comes late, would leave an unused one there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope["path"].endswith(CALLBACK_PATH):
            scope[_ANSWER] = dict(parse_qsl(scope["query_string"].decode("ascii", errors="replace")))
            scope["query_string"] = b""
        await self._app(scope, receive, send)


def answer_in(request: Request) -> Mapping[str, str]:
    """Return what came back from Microsoft's page."""
    found: Mapping[str, str] = request.scope[_ANSWER]
    return found
