"""The writes: JSON Patch with two operations, and the status machine."""

from __future__ import annotations

import copy
from typing import Any

from simulator.errors import ApiError, refuse_request

READ_ONLY = frozenset({"id", "engagementId", "eTag", "createdDateTime", "updatedDateTime", "links", "@odata.context"})
NEXT_STATUSES = {
    "New": {"New", "Active", "Closed"},
    "Active": {"Active", "Closed"},
    "Closed": {"Closed"},
}
SUBSTATUSES = {
    "New": {"Pending", "Received"},
    "Active": {"Accepted"},
    "Closed": {"Won", "Lost", "Declined", "Expired"},
}
REQUIRED = ("type", "customerProfile", "consent", "details")


def check_etag(if_match: str | None, referral: dict[str, Any]) -> None:
    """Compare If-Match with the referral's eTag.

    Raises:
        ApiError: 412 `preconditionFailed`, when the referral has changed.
    """
    if if_match not in (None, "*", referral.get("eTag")):
        raise ApiError(412, "preconditionFailed", "The referral has changed since it was read.")


def check_transition(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Check status and substatus against the status machine."""
    old, new, substatus = before.get("status"), after.get("status"), after.get("substatus")
    if (old, before.get("substatus")) == (new, substatus):
        return
    if new not in NEXT_STATUSES.get(str(old), NEXT_STATUSES):
        refuse_request(f"A referral cannot go from {old} to {new}.", "status")
    if substatus not in SUBSTATUSES[str(new)]:
        refuse_request(f"{substatus} is no substatus of {new}.", "substatus")


def check_new(referral: Any) -> dict[str, Any]:
    """Check what a POST brings."""
    if not isinstance(referral, dict):
        refuse_request("The body is a JSON object.")
    missing = [name for name in REQUIRED if not referral.get(name)]
    if missing:
        refuse_request(f"{', '.join(missing)} missing.", missing[0])
    return referral


def replaced(before: dict[str, Any], body: Any) -> dict[str, Any]:
    """Give the referral after a PUT: the body, with what is read-only kept from before."""
    if not isinstance(body, dict):
        refuse_request("The body is a JSON object.")
    if "links" in body:
        refuse_request("links is read-only and has to be removed.", "links")
    after = body | {name: before[name] for name in READ_ONLY if name in before}
    after.pop("@odata.context", None)
    check_transition(before, after)
    return after


def patched(before: dict[str, Any], operations: Any) -> dict[str, Any]:
    """Give the referral after a JSON Patch of `replace` and `add`."""
    if not isinstance(operations, list) or not operations:
        refuse_request("The body is a JSON Patch: a list of operations.")
    after = copy.deepcopy(before)
    for operation in operations:
        if not isinstance(operation, dict) or not {"op", "path", "value"} <= operation.keys():
            refuse_request("An operation has op, path and value.")
        if operation["op"] not in ("replace", "add"):
            refuse_request(f"The operation {operation['op']} is not supported.", "op")
        _apply(after, operation["op"], str(operation["path"]), operation["value"])
    check_transition(before, after)
    return after


def _apply(referral: dict[str, Any], op: str, path: str, value: Any) -> None:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
    if not path.startswith("/") or not steps or steps[0] in READ_ONLY:
        refuse_request(f"The path {path} cannot be written.", path)
    target: Any = referral
    for step in steps[:-1]:
        target = _child(target, step, path)
    last = steps[-1]
    if isinstance(target, dict) and (op == "add" or last in target):
        target[last] = value
    elif isinstance(target, list) and op == "add" and last == "-":
        target.append(value)
    elif isinstance(target, list) and last.isdecimal() and int(last) < len(target) + (op == "add"):
        target[int(last) : int(last) + (op == "replace")] = [value]
    else:
        refuse_request(f"There is nothing at {path}.", path)


def _child(target: Any, step: str, path: str) -> Any:
    in_list = isinstance(target, list) and step.isdecimal() and int(step) < len(target)
    if not in_list and not (isinstance(target, dict) and step in target):
        refuse_request(f"There is nothing at {path}.", path)
    return target[int(step) if in_list else step]
