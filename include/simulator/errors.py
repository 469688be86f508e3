"""The error answers of the API and of the login, as exceptions and as responses."""

from __future__ import annotations

from typing import Any, NoReturn

from starlette.responses import JSONResponse, Response


class ApiError(Exception):
    """A request of the Referrals API that is answered with an error body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str = "referral",
        inner: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body: dict[str, Any] = {"error": {"code": code, "message": message, "target": target}}
        if inner:
            self.body["error"]["innerError"] = inner

    def response(self) -> Response:
        """Give the answer to send."""
        return JSONResponse(self.body, self.status, self.headers)


class LoginError(Exception):
    """A request of the login that is answered in Entra's way, with an AADSTS code."""

    def __init__(
        self,
        error: str,
        code: int | None,
        text: str,
        *,
        status: int = 400,
        suberror: str | None = None,
        claims: str | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        description = f"AADSTS{code}: {text}" if code else text
        self.body: dict[str, Any] = {"error": error, "error_description": description}
        if code:
            self.body["error_codes"] = [code]
        if suberror:
            self.body["suberror"] = suberror
        if claims:
            self.body["claims"] = claims

    def response(self, timestamp: str, correlation_id: str) -> Response:
        """Give the answer to send."""
        ids = {"timestamp": timestamp, "trace_id": correlation_id, "correlation_id": correlation_id}
        return JSONResponse(self.body | ids, self.status)


def refuse_request(message: str, target: str = "referral") -> NoReturn:
    """Refuse a request that is malformed."""
    raise ApiError(400, "invalidRequest", message, target=target)


def refuse_unknown(message: str = "There is no such referral.") -> NoReturn:
    """Refuse a request for what is not there."""
    raise ApiError(404, "itemNotFound", message)


def refuse_login(
    error: str, code: int | None, text: str, *, status: int = 400, suberror: str | None = None
) -> NoReturn:
    """Refuse a request of the login."""
    raise LoginError(error, code, text, status=status, suberror=suberror)
