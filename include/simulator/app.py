"""The routes, and how a request passes faults and lock on its way to the logic."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator import pages
from simulator.control import Control, ControlError
from simulator.errors import LoginError
from simulator.faults import strike
from simulator.login import Login, basic_credentials, grant_name
from simulator.paging import COLLECTION
from simulator.recorder import Recorder
from simulator.referrals import Referrals

if TYPE_CHECKING:
    from starlette.requests import Request

    from simulator.state import State

Form = dict[str, str]


def create_app(state: State, url: str) -> Starlette:
    """Put the application together; `url` is where it will be reached."""
    routes = Routes(state, url)
    tenant = "/{tenant}"
    return Starlette(
        routes=[
            Route(COLLECTION, routes.referrals, methods=["GET", "POST"]),
            Route(COLLECTION + "/{referral_id}", routes.referrals, methods=["GET", "PUT", "PATCH"]),
            Route("/v1.0/referrals", routes.referrals, methods=["GET"]),
            Route("/common/discovery/instance", routes.instances),
            Route(tenant + "/v2.0/.well-known/openid-configuration", routes.openid),
            Route(tenant + "/oauth2/v2.0/devicecode", routes.devicecode, methods=["POST"]),
            Route(tenant + "/oauth2/v2.0/token", routes.token, methods=["POST"]),
            Route(tenant + "/oauth2/v2.0/authorize", routes.authorize, methods=["GET", "POST"]),
            Route(tenant + "/discovery/v2.0/keys", routes.keys),
            Route("/device", routes.device, methods=["GET", "POST"]),
            Route("/_sim/{path:path}", routes.control, methods=["GET", "POST", "DELETE"]),
        ],
        middleware=[Middleware(Recorder, state=state)],
    )


class Routes:
    """The endpoints; each is thin, the logic is in the class that it calls."""

    def __init__(self, state: State, url: str) -> None:
        self._state = state
        self._login = Login(state, url)
        self._api = Referrals(state)
        self._control = Control(state)

    async def referrals(self, request: Request) -> Response:
        """Serve the Referrals API."""
        state, exchange = self._state, request.scope["simulator.exchange"]
        body = await request.body()
        raw = request.scope["query_string"]
        listing = request.method == "GET" and "referral_id" not in request.path_params
        with state.lock:
            exchange.page = state.listings.page_number(raw) if listing else None
            fault = state.faults.take("referrals", method=request.method, page=exchange.page)
            if fault is not None and fault.kind == "expired-skiptoken":
                state.listings.expire(raw, (fault.options or {}).get("status", 410))

        async def serve() -> Response:
            with state.lock:
                return self._api.serve(request, body)

        if fault is None:
            return await serve()
        exchange.fault = fault.kind
        return await strike(fault, state.clock.now(), serve)

    async def openid(self, request: Request) -> Response:
        """Serve the OpenID configuration."""
        tenant = request.path_params["tenant"]
        return await self._answer(request, "openid", lambda: self._login.configuration(tenant))

    async def devicecode(self, request: Request) -> Response:
        """Open a device sign-in."""
        tenant, form = request.path_params["tenant"], await _form(request)
        request.scope["simulator.exchange"].claims = form.get("claims")
        return await self._answer(request, "devicecode", lambda: self._login.start_device(tenant, form))

    async def token(self, request: Request) -> Response:
        """Serve the token endpoint."""
        tenant, form = request.path_params["tenant"], await _form(request)
        form |= basic_credentials(request.headers.get("authorization", ""))
        exchange = request.scope["simulator.exchange"]
        exchange.grant, exchange.claims = grant_name(form.get("grant_type", "")), form.get("claims")
        return await self._answer(request, "token", lambda: self._login.token(tenant, form, exchange))

    async def instances(self, request: Request) -> Response:
        """Serve instance discovery."""
        return JSONResponse(self._login.instances(request.query_params.get("api-version")))

    async def keys(self, request: Request) -> Response:  # noqa: ARG002
        """Serve the signing keys: none, as nobody can verify what is not signed."""
        return JSONResponse({"keys": []})

    async def device(self, request: Request) -> Response:
        """Serve the page where a person enters the user code."""
        if request.method == "GET":
            return pages.device_form(request.query_params.get("user_code", ""))
        form = await _form(request)
        decision = form.get("decision", "approve")
        with self._state.lock:
            blocked = self._state.settings.conditional_access_block and decision == "approve"
            status = "approved" if decision == "approve" else "denied"
            decided = self._state.tokens.decide(form.get("user_code", ""), status)
        return pages.device_result(decided, decision, blocked=blocked)

    async def authorize(self, request: Request) -> Response:
        """Serve the browser sign-in."""
        query = dict(request.query_params)
        request.scope["simulator.exchange"].claims = query.get("claims")
        form = await _form(request) if request.method == "POST" else {}
        with self._state.lock:
            try:
                self._login.check_authorize(request.path_params["tenant"], query)
            except LoginError as refusal:
                return pages.page("Sorry, but we are having trouble signing you in", f"<p>{refusal}</p>", 400)
            if request.method == "GET" and not self._state.settings.auto_approve:
                return pages.authorize_form(self._state.settings.upn)
            approved = form.get("decision", "approve") == "approve"
            answer = self._login.decide_authorize(query, approved=approved)
        return pages.return_to(query["redirect_uri"], answer, query.get("response_mode"))

    async def control(self, request: Request) -> Response:
        """Serve the control API; in a thread, since seeding a big data set takes a while."""
        body = await request.body()
        try:
            given = json.loads(body) if body else {}
            answer = await run_in_threadpool(self._control.dispatch, request.method, request.path_params["path"], given)
        except (ControlError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(answer)

    async def _answer(self, request: Request, place: str, logic: Callable[[], dict[str, Any]]) -> Response:
        """Answer for the login, unless a fault is set on this place."""
        state, exchange = self._state, request.scope["simulator.exchange"]

        async def serve() -> Response:
            with state.lock:
                try:
                    return JSONResponse(logic(), headers={"cache-control": "no-store"})
                except LoginError as refusal:
                    correlation = exchange.client_request_id or exchange.request_id
                    return refusal.response(state.clock.text(), correlation)

        with state.lock:
            fault = state.faults.take(place, method=request.method, grant=exchange.grant)
        if fault is None:
            return await serve()
        exchange.fault = fault.kind
        return await strike(fault, state.clock.now(), serve)


async def _form(request: Request) -> Form:
    return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
