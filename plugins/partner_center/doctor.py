"""Why does the sync not run? Looks at everything that it needs, in order, and changes nothing but a token that is due.

No check lets an exception escape, and none waits for a retry. A check whose precondition failed is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from partner_center import account_checks, findings, site_checks
from partner_center.account_checks import Patient
from partner_center.errors import PartnerCenterError, VariableUnreadable
from partner_center.findings import NOT_OK, SKIPPED, Finding
from partner_center.retrying import once
from partner_center.warehouse import WarehouseUnavailable


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `needs` are those that must not have failed, `calls` says that it asks somebody outside of Airflow."""

    name: str
    look: Callable[[Patient], Finding]
    needs: tuple[str, ...] = ()
    calls: bool = False


CHECKS = (
    Check("metadata", site_checks.look_at_metadata),
    Check("connection", account_checks.look_at_connection, ("metadata",)),
    Check("settings", account_checks.look_at_settings, ("connection",)),
    Check("tls", account_checks.look_at_tls, ("settings",)),
    Check("login", account_checks.look_at_login, ("tls",), calls=True),
    Check("app_registration", account_checks.look_at_app_registration, ("login",), calls=True),
    Check("token_cache", account_checks.look_at_token_cache, ("settings",)),
    Check("silent_token", account_checks.look_at_silent_token, ("tls", "token_cache"), calls=True),
    Check("token_claims", account_checks.look_at_token_claims, ("silent_token",)),
    Check("referral_call", account_checks.look_at_referral_call, ("silent_token",), calls=True),
    Check("role", account_checks.look_at_role, ("referral_call",)),
    Check("warehouse", site_checks.look_at_warehouse, ("metadata",), calls=True),
    Check("schema", site_checks.look_at_schema, ("warehouse",), calls=True),
    Check("fernet_key", site_checks.look_at_fernet_key, ("metadata",)),
    Check("jwt_secret", site_checks.look_at_jwt_secret),
    Check("dag", site_checks.look_at_dag, ("metadata",)),
    Check("flag", site_checks.look_at_flag, ("metadata",)),
    Check("alerts", site_checks.look_at_alerts, ("metadata",)),
)


def examine(patient: Patient) -> Iterator[Finding]:
    """Yield one finding for each check, as soon as it is known; raises nothing."""
    failed: dict[str, str] = {}
    for check in CHECKS:
        cause = next((failed[need] for need in check.needs if need in failed), None)
        if cause is not None:
            finding = findings.skipped(f"It needs {cause}, see above.")
        elif patient.offline and check.calls:
            finding = findings.skipped("It would make a call (--offline).")
        else:
            finding = _looked(check, patient)
        if finding.status in {NOT_OK, SKIPPED}:
            failed[check.name] = cause or check.name
        yield replace(finding, check=check.name)


def _looked(check: Check, patient: Patient) -> Finding:
    try:
        with once():
            return check.look(patient)
    except PartnerCenterError as err:
        return findings.of_error(err, patient.hint_on(_away(err)))
    except Exception as err:  # noqa: BLE001 - a doctor that crashes helps nobody
        return findings.unexpected(err, patient.hint_on("metadata"))


def _away(err: PartnerCenterError) -> str:
    """Return the part that an error says is away; a Variable that cannot be read is there."""
    if isinstance(err, VariableUnreadable):
        return ""
    return "warehouse" if isinstance(err, WarehouseUnavailable) else "account"
