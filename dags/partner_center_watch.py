"""
### Partner Center: watch

Looks every 5 minutes at how the sync of each account is, and tells people, once for each cause: the last run failed, a
person has to sign in, no success for an hour, rows in the quarantine, or the state cannot be read. Once more every 24
hours while it stays so, and once when it is over. It looks at what is stored, so it also tells of what happened while
Airflow was down.

**Who is told**: whom the connections `partner_center_alert_email` (type smtp) and `partner_center_alert_apprise`
(Teams, Slack and others) name. Without them nobody is, and the overview says so. What was told stands in the Variable
`partner_center_alerts`; delete it to be told anew. Each account has a task of its own.

#### Triage notes

| what you see | what it means | what to do |
|---|---|---|
| `watch` failed, "could not be sent" | a server or service did not take an alert | it is sent later; see the log |
| `watch` failed, "has no" | the connection lacks something | add what the log names |
| `watch` succeeds, the sync does not | this is its work: it has told | see the overview of the pages |
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from partner_center import accounts
from partner_center.accounts import Account

EVERY = timedelta(minutes=5)


def wire(account: Account) -> None:
    """Wire the one task of an account."""

    @task(
        task_id=f"watch{account.suffix}",
        doc_md=f"Looks at the sync of the connection {account.connection_id} and sends the alerts that are due.",
    )
    def watch(**context: Any) -> dict[str, Any]:
        from partner_center import watching

        def is_unfinished(run_id: str) -> bool:
            states = ["queued", "running"]
            return bool(context["ti"].get_dr_count(dag_id=account.sync_dag, run_ids=[run_id], states=states))

        return watching.watch(account, is_unfinished)

    watch()


with DAG(
    dag_id="partner_center_watch",
    dag_display_name="Partner Center: watch",
    description="Tells people when the sync needs one: once a cause, and once when it is over.",
    doc_md=__doc__,
    schedule=EVERY,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    tags=["partner-center", "alerts"],
    default_args={
        "owner": "sales-operations",
        # The next look is the next try.
        "retries": 0,
        "execution_timeout": timedelta(minutes=2),
    },
):
    for each in accounts.listed(os.environ):
        wire(each)
