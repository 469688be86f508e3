"""The control of the simulator: by method in the same process, or as JSON under /_sim/."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any

from simulator import data
from simulator.store import Row

if TYPE_CHECKING:
    from simulator.state import State

ROUTES = {
    ("GET", "state"): "state",
    ("POST", "reset"): "reset",
    ("POST", "seed"): "seed",
    ("POST", "seed-raw"): "seed_raw",
    ("POST", "upsert"): "upsert",
    ("POST", "patch"): "patch",
    ("POST", "clock"): "clock",
    ("POST", "approve"): "approve",
    ("POST", "deny"): "deny",
    ("POST", "revoke"): "revoke",
    ("POST", "token"): "token",
    ("POST", "faults"): "faults",
    ("GET", "requests"): "requests",
    ("POST", "requests/clear"): "clear_requests",
    ("GET", "violations"): "violations",
    ("POST", "violations/clear"): "clear_violations",
    ("GET", "settings"): "settings",
    ("POST", "settings"): "settings",
}
Answer = dict[str, Any]


class ControlError(Exception):
    """A control call that cannot be carried out."""


class Control:
    """Every switch, with the same names and arguments as under /_sim/."""

    def __init__(self, state: State) -> None:
        self._state = state

    def dispatch(self, method: str, path: str, body: Any) -> Any:
        """Carry out a call of the HTTP form.

        Raises:
            ControlError: no such call, or its arguments do not fit.
        """
        if method == "DELETE" and path.startswith("referrals/"):
            return self.delete(path.removeprefix("referrals/"))
        name = ROUTES.get((method, path))
        if name is None:
            problem = f"There is no {method} /_sim/{path}."
            raise ControlError(problem)
        arguments = {"faults": body} if name == "faults" and isinstance(body, list) else body
        call = getattr(self, name)
        try:
            inspect.signature(call).bind(**arguments)
        except TypeError as error:
            problem = f"POST /_sim/{path}: {error}"
            raise ControlError(problem) from error
        return call(**arguments)

    def state(self) -> Answer:
        """Summarise data, sign-ins, tokens and log."""
        state = self._state
        with state.lock:
            tokens = state.tokens
            return {
                "dataset": state.dataset,
                "referrals": len(state.store.rows),
                "now": state.clock.text(),
                "device_codes": [
                    {"user_code": flow.user_code, "status": flow.status} for flow in tokens.device.values()
                ],
                "token_calls": dict(tokens.calls),
                "access_tokens": len(tokens.access),
                "refresh_tokens": len(tokens.refresh),
                "requests": state.journal.total,
                "violations": dict(Counter(found["rule"] for found in state.journal.violations)),
                "faults": [vars(fault) for fault in state.faults.active],
            }

    def reset(self, dataset: str | None = None) -> Answer:
        """Forget tokens, settings, faults and log, and seed again, another data set if one is named."""
        self._state.reset(dataset or self._state.dataset)
        return self.state()

    def seed(self, dataset: str | None = None, referrals: list[dict[str, Any]] | None = None) -> Answer:
        """Replace the referrals, by a data set's or by JSON objects; all else stays."""
        rows = data.load(dataset) if dataset else [Row.of(referral) for referral in referrals or []]
        with self._state.lock:
            self._state.dataset = dataset or "seeded"
            self._state.store.replace_all(rows)
        return {"referrals": len(rows)}

    def seed_raw(self, rows: list[str]) -> Answer:
        """Replace the referrals by rows whose text goes out as it is."""
        taken = [Row.of_text(text) for text in rows]
        with self._state.lock:
            self._state.dataset = "seeded"
            self._state.store.replace_all(taken)
        return {"referrals": len(taken)}

    def upsert(self, referral: dict[str, Any]) -> Answer:
        """Put a referral in as it is, in the place of the one of its id."""
        with self._state.lock:
            self._state.store.put(Row.of(referral))
        return referral

    def patch(self, id: str, changes: dict[str, Any]) -> Answer:
        """Change top-level properties; updatedDateTime and eTag move, unless they are among the changes."""
        with self._state.lock:
            row = self._state.store.find(id)
            before = row.value() if row else None
            if not isinstance(before, dict):
                problem = f"There is no referral {id}."
                raise ControlError(problem)
            saved = self._state.save(before | changes, before) | changes
            self._state.store.put(Row.of(saved))
            return saved

    def delete(self, referral_id: str) -> Answer:
        """Make a referral disappear without a trace, as the API does."""
        with self._state.lock:
            if not self._state.store.delete(referral_id):
                problem = f"There is no referral {referral_id}."
                raise ControlError(problem)
        return {"deleted": referral_id}

    def clock(self, advance_seconds: float) -> Answer:
        """Advance the simulated time."""
        with self._state.lock:
            self._state.clock.offset += advance_seconds
            return {"now": self._state.clock.text()}

    def approve(self, user_code: str | None = None) -> Answer:
        """Approve the sign-in of a user code, or all that wait."""
        with self._state.lock:
            return {"approved": self._state.tokens.decide(user_code, "approved")}

    def deny(self, user_code: str | None = None) -> Answer:
        """Decline the sign-in of a user code, or all that wait."""
        with self._state.lock:
            return {"denied": self._state.tokens.decide(user_code, "denied")}

    def revoke(self, what: str) -> Answer:
        """Revoke what was issued: access, refresh or all."""
        if what not in ("access", "refresh", "all"):
            problem = f"What can be revoked is access, refresh or all; not {what!r}."
            raise ControlError(problem)
        with self._state.lock:
            return {"revoked": self._state.tokens.revoke(what)}

    def token(self, scope: str | None = None) -> Answer:
        """Issue tokens without a sign-in, for tests and measurements of the API alone."""
        with self._state.lock:
            default = f"{self._state.audience}/.default offline_access openid profile"
            return self._state.tokens.answer(scope or default, self._state.authority)

    def faults(self, faults: list[dict[str, Any]]) -> Answer:
        """Replace the faults; see faults.py for what one looks like."""
        with self._state.lock:
            self._state.faults.set(faults)
            return {"faults": len(faults)}

    def requests(self) -> list[dict[str, Any]]:
        """Give the request log, without the control's own calls."""
        with self._state.lock:
            return self._state.journal.requests()

    def clear_requests(self) -> Answer:
        """Forget the request log."""
        with self._state.lock:
            self._state.journal.clear()
        return {}

    def violations(self) -> list[dict[str, Any]]:
        """Give the rules that the client broke, with what it did."""
        with self._state.lock:
            return list(self._state.journal.violations)

    def clear_violations(self) -> Answer:
        """Forget the violations."""
        with self._state.lock:
            self._state.journal.violations.clear()
        return {}

    def settings(self, **changes: Any) -> Answer:
        """Change the named settings and give all."""
        with self._state.lock:
            self._state.settings.update(changes)
            return self._state.settings.as_dict()
