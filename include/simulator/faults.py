"""What goes wrong on demand: cut streams, gateways' HTML, refusals, throttling, delays."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from simulator.errors import ApiError, LoginError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PLACES = ("referrals", "token", "devicecode", "openid")
KINDS = frozenset(
    [
        "latency",
        "reset",
        "truncate",
        "html502",
        "html200",
        "status",
        "429",
        "401",
        "401-mfa",
        "403-role",
        "403-claims",
        "412",
        "expired-skiptoken",
        "oauth-error",
    ]
)
HTML_502 = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
HTML_200 = "<!DOCTYPE html><html><body><h1>Sign in to your account</h1></body></html>"
MFA_BODIES: dict[str, dict[str, Any]] = {
    "text": {"error": {"code": "900421", "message": "MFA claim required", "target": "authorization"}},
    "number": {"error": {"code": 900421, "message": "MFA claim required", "target": "authorization"}},
    "csp": {"code": 900421, "description": "MFA is required to access this resource."},
}
# base64 of {"access_token":{"acrs":{"essential":true,"value":"c1"}}}
CLAIMS = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19"


@dataclass
class Fault:
    """One thing that goes wrong.

    `on` names the endpoint; `page` (of a listing), `grant` (of a token request) and `method` narrow it down.
    `times` is how often it still strikes, None for ever. All kinds take `seconds` of delay in `options`.
    """

    kind: str
    on: str = "referrals"
    page: int | None = None
    grant: str | None = None
    method: str | None = None
    times: int | None = None
    options: dict[str, Any] | None = None

    @classmethod
    def of(cls, given: dict[str, Any]) -> Fault:
        """Read a fault from its JSON object.

        Raises:
            ValueError: the kind or the place is unknown.
        """
        own = {name: given[name] for name in ("on", "page", "grant", "method", "times") if name in given}
        fault = cls(str(given.get("kind")), **own)
        if fault.kind not in KINDS or fault.on not in PLACES:
            problem = f"A fault has a kind of {sorted(KINDS)} and is on one of {PLACES}; not {given}."
            raise ValueError(problem)
        fault.options = {name: value for name, value in given.items() if name not in {"kind", *own}}
        if fault.kind == "401-mfa" and fault.options.get("variant", "text") not in MFA_BODIES:
            problem = f"The variant of 401-mfa is one of {list(MFA_BODIES)}."
            raise ValueError(problem)
        return fault


class Faults:
    """The faults that are set, in order; the first that fits a request strikes."""

    def __init__(self) -> None:
        self.active: list[Fault] = []

    def set(self, faults: list[dict[str, Any]]) -> None:
        """Replace all faults."""
        self.active = [Fault.of(given) for given in faults]

    def take(self, on: str, *, method: str, page: int | None = None, grant: str | None = None) -> Fault | None:
        """Give the fault for this request and use it up by one."""
        for fault in self.active:
            asked = ((fault.page, page), (fault.grant, grant), (fault.method, method))
            if fault.on == on and fault.times != 0 and all(want in (None, has) for want, has in asked):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


async def strike(fault: Fault, now: float, serve: Callable[[], Awaitable[Response]]) -> Response:
    """Give the faulty answer; `serve` gives the good one, for the kinds that build on it."""
    options = fault.options or {}
    await asyncio.sleep(options.get("seconds", 0))
    if fault.kind == "latency":
        return await serve()
    if fault.kind == "truncate":
        good = await serve()
        return CutResponse(bytes(good.body), good.status_code, media_type="application/json")
    if fault.kind == "reset":
        return ResetResponse()
    return _canned(fault.kind, options, now)


def _canned(kind: str, options: dict[str, Any], now: float) -> Response:
    headers = _retry_after(options, now)
    if kind in ("html502", "html200"):
        default = HTML_502 if kind == "html502" else HTML_200
        return HTMLResponse(options.get("body", default), int(kind[4:]), headers)
    if kind == "401-mfa":
        return JSONResponse(MFA_BODIES[options.get("variant", "text")], 401, headers)
    if kind == "oauth-error":
        return _oauth_error(options)
    if "body" in options:
        body = options["body"]
        text = isinstance(body, str)
        status = options.get("status", STATUSES.get(kind, 500))
        return Response(body, status, headers) if text else JSONResponse(body, status, headers)
    return _refusal(kind, options, headers).response()


STATUSES = {"429": 429, "401": 401, "403-role": 403, "403-claims": 403, "412": 412, "expired-skiptoken": 410}


def _refusal(  # noqa: PLR0911 - one line for each kind
    kind: str, options: dict[str, Any], headers: dict[str, str]
) -> ApiError:
    status = options.get("status", STATUSES.get(kind, 500))
    if kind == "429":
        return ApiError(status, "generalException", "Too many requests.", headers=headers)
    if kind == "401":
        return ApiError(status, "unauthenticated", "The access token is not accepted.", headers=headers)
    if kind == "403-role":
        inner = {"code": "roleMissing", "message": "Referrals Admin or Referrals User is needed."}
        return ApiError(status, "accessDenied", "The caller may not read referrals.", inner=inner, headers=headers)
    if kind == "403-claims":
        challenge = f'Bearer realm="", error="insufficient_claims", claims="{CLAIMS}"'
        inner = {"code": "insufficent_claims", "message": "A step-up is needed."}
        headers |= {"www-authenticate": challenge}
        return ApiError(status, "accessDenied", "Claims are missing.", inner=inner, headers=headers)
    if kind == "412":
        return ApiError(status, "preconditionFailed", "The referral has changed.", headers=headers)
    if kind == "expired-skiptoken":
        code = "gone" if status == 410 else "invalidRequest"
        return ApiError(status, code, "The skiptoken has expired.", target="$skiptoken", headers=headers)
    code = options.get("code", "serviceNotAvailable" if status >= 500 else "generalException")
    return ApiError(status, code, options.get("message", "A fault was asked for."), headers=headers)


def _oauth_error(options: dict[str, Any]) -> Response:
    refusal = LoginError(
        options.get("error", "invalid_grant"),
        options.get("code"),
        options.get("text", "Refused on demand."),
        status=options.get("status", 400),
        suberror=options.get("suberror"),
        claims=options.get("claims"),
    )
    return refusal.response("2026-11-24 10:00:00Z", "5a0e2b54-0000-4000-8000-00000000c0de")


def _retry_after(options: dict[str, Any], now: float) -> dict[str, str]:
    if "seconds_from_now" in options:
        return {"retry-after": formatdate(now + options["seconds_from_now"], usegmt=True)}
    return {"retry-after": str(options["retry_after"])} if "retry_after" in options else {}


class CutResponse(Response):
    """Promises the whole body, sends half of it and closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the half; the server closes a connection whose answer was left unfinished."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


class ResetResponse(Response):
    """Answers with a TCP reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Close the socket with linger 0, which makes the kernel send RST instead of FIN."""
        transport = scope["simulator.transport"]
        number = transport.get_extra_info("socket").fileno()
        with contextlib.closing(socket.socket(fileno=socket.dup(number))) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
