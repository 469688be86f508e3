"""The four operations of the Referrals API, after the checks that all of them share."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from simulator.errors import ApiError, refuse_request, refuse_unknown
from simulator.faults import MFA_BODIES
from simulator.paging import COLLECTION
from simulator.updates import check_etag, check_new, patched, replaced

if TYPE_CHECKING:
    from starlette.requests import Request

    from simulator.recorder import Exchange
    from simulator.state import State

JSON = "application/json"


class Referrals:
    """The API over the state; every method is called with the state's lock held."""

    def __init__(self, state: State) -> None:
        self._state = state

    def serve(self, request: Request, body: bytes) -> Response:
        """Answer one request."""
        exchange: Exchange = request.scope["simulator.exchange"]
        try:
            unmarked = self._authorize(request)
            response = self._operate(request, exchange, body)
        except ApiError as refusal:
            return refusal.response()
        except MfaMissingError:
            return JSONResponse(MFA_BODIES["text"], 401)
        if unmarked:
            response.headers["isMfaCompliant"] = "false"
        return response

    def _operate(self, request: Request, exchange: Exchange, body: bytes) -> Response:
        referral_id = request.path_params.get("referral_id")
        if referral_id is None:
            return self._create(_parse(body)) if request.method == "POST" else self._list(request, exchange)
        row = self._state.store.find(referral_id)
        before = row.value() if row else None
        if not isinstance(before, dict):
            refuse_unknown()
        if request.method == "GET":
            return self._one(before)
        if_match = request.headers.get("if-match")
        if request.method == "PUT" and if_match is None:
            refuse_request("If-Match is missing.", "If-Match")
        check_etag(if_match, before)
        if request.method == "PUT":
            return self._one(self._state.save(replaced(before, _parse(body)), before))
        after = self._state.save(patched(before, _parse(body)), before)
        if "return=representation" in request.headers.get("prefer", ""):
            return self._one(after)
        return Response(status_code=204, headers={"etag": after["eTag"]})

    def _authorize(self, request: Request) -> bool:
        """Check the token and the headers; say whether an MFA report has to be given."""
        if self._state.settings.strict_request_id and "client-request-id" not in request.headers:
            refuse_request("client-request-id is missing.", "client-request-id")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        token = self._state.tokens.access.get(given)
        problem = None
        if scheme.lower() != "bearer" or token is None:
            problem = "An access token of this directory is needed."
        elif token.audience != self._state.audience:
            problem = f"The access token is for {token.audience}."
        elif token.revoked or token.expires_at <= self._state.clock.now():
            problem = "The access token has expired or was revoked."
        if problem or token is None:
            challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
            raise ApiError(401, "unauthenticated", problem or "", target="authorization", headers=challenge)
        return not token.mfa and self._mfa_missing()

    def _mfa_missing(self) -> bool:
        mode = self._state.settings.mfa
        if mode == "enforce":
            raise MfaMissingError
        if mode.startswith("percent:"):
            share = int(mode.partition(":")[2])
            self._state.mfa_asked += 1
            asked = self._state.mfa_asked
            # Spread evenly instead of at random: a test can count on every call's fate.
            if asked * share // 100 > (asked - 1) * share // 100:
                raise MfaMissingError
        return mode == "report"

    def _list(self, request: Request, exchange: Exchange) -> Response:
        raw: bytes = request.scope["query_string"]
        short = request.scope["path"] != COLLECTION
        if short and self._state.settings.noengagements_path == "404":
            refuse_unknown("There is no such resource.")
        if exchange.page != 1:
            body = self._state.listings.follow(raw, exchange)
        else:
            body = self._state.listings.first(raw, request.headers.get("host", ""))
            missing = [name for name in ("$filter", "$orderby", "$top") if name.encode() not in _plain(raw)]
            if missing:
                text = f"The first page came without {', '.join(missing)}."
                self._state.journal.violation("first_page", text, exchange)
        return Response(body, media_type=JSON)

    def _one(self, referral: dict[str, Any], status: int = 200) -> Response:
        context = {"@odata.context": "https://api.partner.microsoft.com/v1.0/$metadata#Referrals/$entity"}
        # JSON's own escapes, as the stored text may hold what UTF-8 cannot carry.
        tag = str(referral.get("eTag", ""))
        return Response(json.dumps(context | referral), status, {"etag": tag}, media_type=JSON)

    def _create(self, body: Any) -> Response:
        given = check_new(body)
        shared = given["type"] == "Shared" and given.get("direction", "Outgoing") == "Outgoing"
        # The creator's own copy of a shared referral starts accepted, as in the documented example.
        status, substatus = ("Active", "Accepted") if shared else ("New", "Pending")
        now = self._state.clock.text()
        defaults = {
            "id": str(uuid.uuid4()),
            "engagementId": given.get("engagementId") or str(uuid.uuid4()),
            "direction": "Outgoing",
            "qualification": "SalesQualified",
            "createdDateTime": now,
        }
        fixed = {"id": defaults["id"], "status": status, "substatus": substatus, "createdDateTime": now}
        referral = self._state.save(defaults | given | fixed, None)
        response = self._one(referral, 201)
        response.headers["location"] = f"{COLLECTION}/{referral['id']}"
        return response


class MfaMissingError(Exception):
    """The caller's token shows no MFA where it is enforced."""


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        refuse_request("The body is no JSON.")


def _plain(raw: bytes) -> bytes:
    return raw.replace(b"%24", b"$")
