"""The first page: is the sync well, what did it bring, what waits for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from partner_center.accounts import Account
from partner_center.errors import PartnerCenterError, SchemaBehind
from partner_center.hook import PartnerCenterHook
from partner_center.ui import airflow_runs, guards, totals
from partner_center.ui.alerts_shown import shown
from partner_center.ui.health import health
from partner_center.ui.reading import Reader, reading
from partner_center.ui.rendering import page, query_of

router = APIRouter(include_in_schema=False)

_FUNNEL = ("fetched", "eligible", "with_domain", "without_domain", "persisted")


@router.get("/")
def show(
    request: Request,
    user: GetUserDep,
    account: guards.Readable,
    dag: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """Show the overview.

    Args:
        request: the one that is answered.
        user: Airflow's.
        account: whose overview.
        dag: the DAG on whose page of Airflow the tab was opened; of another account's DAG, that account is shown.
    """
    if other := _account_of_tab(dag, account):
        return RedirectResponse(f"{request.scope.get('root_path', '')}/{query_of(other)}", 303)
    found = health(account)
    values = {
        "health": found,
        "is_enabled": found.is_enabled,
        "running": airflow_runs.unfinished_run(account.sync_dag),
        "may_sync": guards.may_trigger(request, user, account.sync_dag),
        "schedule": airflow_runs.schedule_of(account.sync_dag),
        "dag_id": account.sync_dag,
        "foreign_dag": dag if dag and not _dags_of(account, dag) else "",
        "alerts": shown(account),
        **_sign_in(account),
    }
    try:
        with reading(account) as reader:
            values |= _stored(reader)
    except PartnerCenterError as err:
        # Whoever looks here wants to know just that, and how the rest is.
        values |= {"unreadable": str(err), "is_fresh": isinstance(err, SchemaBehind)}
    return page(request, "overview.html", account=account, **values)


def _sign_in(account: Account) -> dict[str, Any]:
    try:
        return {"signed_in": PartnerCenterHook(account.connection_id).tokens.signed_in(), "sign_in_problem": ""}
    except PartnerCenterError as err:
        return {"signed_in": None, "sign_in_problem": str(err)}


def _stored(reader: Reader) -> dict[str, Any]:
    known = reader.row("overview") or {}
    latest = reader.rows("runs", {"state": "", "after_started": None, "after_run": None, "limit": 1})
    counted = reader.row("last_counted")
    found = totals.totals(reader)
    return {
        "unreadable": "",
        **known,
        "last_run": latest[0] if latest else None,
        "counted": counted,
        "funnel": [(name, counted[name]) for name in _FUNNEL] if counted else [],
        "days": [{**day, "day": f"{day['day']:%d %b}"} for day in reader.rows("runs_by_day")],
        "totals": found,
        "by_status": _summed(found.by_status_and_type, 0),
        "by_type": _summed(found.by_status_and_type, 1),
    }


def _summed(counts: Mapping[tuple[str, str], int], position: int) -> list[tuple[str, int]]:
    """Add counts up by one part of their key, the largest first."""
    summed: Counter[str] = Counter()
    for key, count in counts.items():
        summed[key[position]] += count
    return summed.most_common()


def _dags_of(account: Account, dag: str) -> bool:
    return dag in {account.sync_dag, account.replay_dag, guards.SIGN_IN_DAG}


def _account_of_tab(dag: str, shown: Account) -> Account | None:
    """Return the account to which a DAG belongs, if it is not the one that is shown."""
    if not dag or _dags_of(shown, dag):
        return None
    return next((account for account in guards.listed() if _dags_of(account, dag)), None)
