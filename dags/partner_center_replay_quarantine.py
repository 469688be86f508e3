"""
### Partner Center: replay the quarantine

Takes the rows of `partner_center_quarantine` that were not stored since, and loads them like rows that the API has just
sent: after a fix of this package, or after you have mended `raw` in the table by hand. No call to Microsoft is made.

`read_quarantine` > `filter_referrals` > `extract_domains` > `load_referrals` > `verify_counts`

A row that is stored (or skipped, or older than what is stored) gets `replayed_at`; one that still cannot be stored
stays as it is. Nothing is deleted. Trigger it as often as you like:

```sh
airflow dags trigger partner_center_replay_quarantine
airflow dags trigger partner_center_replay_quarantine --conf '{"reason": "no_id"}'
```

Each partner account has a DAG like this one, for its own quarantine.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Param, task

from partner_center import accounts
from partner_center.accounts import Account
from partner_center.operators import LoadReferralsOperator, SqlCountsOperator
from partner_center.retry_policy import RetryWhatMayPass
from partner_center.rules import FILTER_VERSION, MAPPING_VERSION

INCLUDE = Path(__file__).resolve().parents[1] / "include"

# As the scheduled sync does it.
DIRECTION, STATUSES = "Incoming", ("New", "Active")


def _request(context: dict[str, Any], account: Account) -> Any:
    from partner_center.runs import RunRequest

    return RunRequest(context["run_id"], "replay", DIRECTION, STATUSES, None, dry_run=False, account=account)


def replay_of(account: Account) -> DAG:
    """Return an account's DAG, still without tasks."""
    return DAG(
        dag_id=account.replay_dag,
        dag_display_name=f"Partner Center: replay the quarantine{account.title}",
        description="Loads quarantined rows that can be stored by now.",
        doc_md=f"{__doc__}{account.about}",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=2),
        template_searchpath=[str(INCLUDE / "sql" / "sync")],
        tags=["partner-center", "sync", *account.tags],
        default_args={
            "owner": "sales-operations",
            "retries": 2,
            "retry_delay": timedelta(seconds=30),
            "retry_policy": RetryWhatMayPass(),
            "execution_timeout": timedelta(minutes=30),
        },
        params={
            "reason": Param(
                None,
                type=["null", "string"],
                description_md="Only rows that were quarantined for this reason, such as `no_id`. Empty: all.",
            )
        },
    )


def wire(account: Account) -> None:
    """Wire the tasks, for one account: the sync's, behind another source."""

    @task(doc_md="Stages the quarantined rows that were not stored since, as if the API had sent them.")
    def read_quarantine(**context: Any) -> dict[str, Any]:
        from partner_center import steps

        return steps.read_quarantine(_request(context, account), INCLUDE / "migrations", context["params"]["reason"])

    filter_referrals = SqlCountsOperator(
        task_id="filter_referrals",
        account=account,
        doc_md="Decides each row's outcome, as in the sync.",
        sql="filter_referrals.sql",
        parameters={
            "run_id": "{{ run_id }}",
            "direction": DIRECTION,
            "statuses": json.dumps(STATUSES),
        },
    )

    @task(doc_md="Finds the customer's domain, as in the sync.")
    def extract_domains(**context: Any) -> dict[str, Any]:
        from partner_center import steps

        return steps.extract_domains(_request(context, account))

    load_referrals = LoadReferralsOperator(
        task_id="load_referrals",
        account=account,
        doc_md="Writes what is new or newer than what is stored, and its history, in one transaction.",
        parameters={
            "run_id": "{{ run_id }}",
            "dry_run": "False",
            "mapping_version": MAPPING_VERSION,
            "filter_version": FILTER_VERSION,
        },
    )

    @task(doc_md="Reads back what was stored, and marks the quarantined rows that stand in the table now.")
    def verify_counts(**context: Any) -> dict[str, Any]:
        from partner_center import steps

        sql = INCLUDE / "sql" / "sync"
        return steps.verify_counts(_request(context, account), context["ti"], sql, source="read_quarantine")

    @task(doc_md="Gives the run's row in partner_center_sync_runs its end where no task could: its worker was lost.")
    def close_run(**context: Any) -> str:
        from partner_center import steps

        return steps.close_run(_request(context, account), context["ti"], first="read_quarantine")

    (
        read_quarantine()
        >> filter_referrals
        >> extract_domains()
        >> load_referrals
        >> verify_counts()
        >> close_run().as_teardown()
    )


for each in accounts.listed(os.environ):
    with replay_of(each):
        wire(each)
