"""
### Partner Center referral sync

Brings every referral of Microsoft Partner Center into the table `partner_center_referrals` of the connection
`partner_center_db`, every 10 minutes: what changed since the last verified run, and once a day everything.

`acquire_token` > `fetch_pages` > `filter_referrals` > `extract_domains` > `load_referrals` > `verify_counts`, and
`close_run`, which gives a run that lost its worker its end in `partner_center_sync_runs`.

What is eligible (direction and status as asked) is stored, with or without a domain; what cannot be stored goes to
`partner_center_quarantine` with its reason; every row that the API sent stands in one of the counts, and the run fails
when an eligible referral is missing from the table.

**Start by hand**: *Trigger*, and change the form where needed. **Switch off** (this is the rollback): set the Variable
`partner_center_enabled` to `false`; nothing is called any more, what is stored stays.
**Clear and re-run**: any task, alone or with what follows, at any time: no row is doubled, none goes back in time.

#### Triage notes

| what you see | what it means | what to do |
|---|---|---|
| `acquire_token` skipped, "switched off" | the flag is off | set `partner_center_enabled` to `true` |
| `acquire_token` skipped, `sign_in_required` | nobody is signed in, or the sign-in ended | sign in as the log says |
| `acquire_token` failed | login unreachable, or a setting is wrong | the log says which; clear it afterwards |
| `fetch_pages` failed | API down (it was retried), 401, 403, `max_pages` | do as the log says; clear with downstream |
| `filter_referrals`, `extract_domains`, `load_referrals` failed | warehouse refused or away | mend it, clear it |
| `load_referrals` failed, "gone from the API" | a full read misses too many stored referrals | do as the log says |
| `verify_counts` failed | **eligible referrals are missing**, or rows were lost | the log names them and what to do |
| `verify_counts` failed, "could not be stored" | too many quarantined; the good ones are stored | mend, replay |

The counts of a run stand in its log (last line of `verify_counts`), in XCom, in `partner_center_sync_runs` (with the
reason of what was read, skipped or failed), and in the event of the asset `partner_center_referrals`, which other DAGs
can be scheduled on: it comes on verified data only.

Each partner account that `HUNTER_PARTNER_CENTER_CONNECTIONS` lists has a DAG like this one, over a token cache, tables
and an asset of its own.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, Param, task

from partner_center import accounts
from partner_center.accounts import Account
from partner_center.operators import LoadReferralsOperator, SqlCountsOperator
from partner_center.retry_policy import RetryWhatMayPass
from partner_center.rules import FILTER_VERSION, MAPPING_VERSION
from partner_center.settings import sync_interval

INCLUDE = Path(__file__).resolve().parents[1] / "include"

# Each status that Partner Center documents, in any case: a misspelled one would find nothing, in silence.
STATUSES = ["New", "Active", "Closed", "None"]
STATUS_PATTERN = "|".join("".join(f"[{letter.upper()}{letter.lower()}]" for letter in status) for status in STATUSES)


def _request(context: dict[str, Any], account: Account) -> Any:
    from partner_center.runs import RunRequest

    return RunRequest.from_params(context["run_id"], context["params"], account)


def sync_of(account: Account) -> DAG:
    """Return an account's DAG, still without tasks."""
    return DAG(
        dag_id=account.sync_dag,
        dag_display_name=f"Partner Center referral sync{account.title}",
        description="Brings the referrals of Microsoft Partner Center into the warehouse, every row accounted for.",
        doc_md=f"{__doc__}{account.about}",
        schedule=sync_interval(os.environ),
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
            "mode": Param(
                "incremental",
                type="string",
                enum=["incremental", "full"],
                description_md="incremental: what changed since the last verified run; by itself everything, once a "
                "day. full: everything, and note what has vanished.",
            ),
            "direction": Param(
                "Incoming",
                type="string",
                enum=["Incoming", "Outgoing", "any"],
                description_md="Incoming: what Microsoft or a partner sent to you. Outgoing: what you sent.",
            ),
            "statuses": Param(
                ["New", "Active"],
                type="array",
                items={"type": "string", "pattern": f"^(?:{STATUS_PATTERN})$"},
                examples=STATUSES,
                minItems=1,
                uniqueItems=True,
                description_md="A referral with another status is skipped, unless it is in the table already.",
            ),
            "max_pages": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                description_md="Empty: no limit. Where the API has more, the run fails: nothing is cut in silence.",
            ),
            "dry_run": Param(
                False,
                type="boolean",
                description_md="Writes nothing to the referrals; the counts tell what would happen.",
            ),
        },
    )


def wire(account: Account) -> None:
    """Wire the six tasks, for one account."""
    # Names alone, which others schedule on: the hosts stand in connections, and are told when a task runs (lineage.py).
    referrals = Asset(f"partner_center_referrals{account.suffix}")
    api = Asset(f"partner_center_referrals_api{account.suffix}")

    @task(doc_md="Checks the flag and that somebody is signed in. Skipped: read the reason in the log.")
    def acquire_token(**context: Any) -> dict[str, Any]:
        from partner_center import steps

        return steps.acquire_token(_request(context, account), INCLUDE / "migrations")

    @task(
        doc_md="Reads what changed since the watermark, once a day everything, into the run's staging tables.",
        inlets=[api],
    )
    def fetch_pages(**context: Any) -> dict[str, Any]:
        from partner_center import steps

        return steps.fetch_pages(_request(context, account), INCLUDE / "migrations")

    filter_referrals = SqlCountsOperator(
        task_id="filter_referrals",
        account=account,
        doc_md="Decides each row's outcome: duplicate, eligible, closed or skipped. The SQL is in the rendered view.",
        sql="filter_referrals.sql",
        parameters={
            "run_id": "{{ run_id }}",
            "direction": "{{ params.direction }}",
            "statuses": "{{ params.statuses | tojson }}",
        },
    )

    @task(doc_md="Finds the customer's domain. A referral without one is loaded like any other.")
    def extract_domains(**context: Any) -> dict[str, Any]:
        from partner_center import steps

        return steps.extract_domains(_request(context, account))

    load_referrals = LoadReferralsOperator(
        task_id="load_referrals",
        account=account,
        doc_md="Writes what is new or changed, and its history, in one transaction. The SQL is in the rendered view.",
        parameters={
            "run_id": "{{ run_id }}",
            "dry_run": "{{ params.dry_run }}",
            "mapping_version": MAPPING_VERSION,
            "filter_version": FILTER_VERSION,
        },
    )

    @task(
        doc_md="Reads back what was stored and fails, naming the ids, when an eligible referral is missing.",
        outlets=[referrals],
    )
    def verify_counts(**context: Any) -> dict[str, Any]:
        from partner_center import steps

        counts = steps.verify_counts(_request(context, account), context["ti"], INCLUDE / "sql" / "sync")
        context["outlet_events"][referrals].extra = {
            "run_id": context["run_id"],
            "dry_run": context["params"]["dry_run"],
            **counts,
        }
        return counts

    @task(doc_md="Gives the run's row in partner_center_sync_runs its end where no task could: its worker was lost.")
    def close_run(**context: Any) -> str:
        from partner_center import steps

        return steps.close_run(_request(context, account), context["ti"])

    (
        acquire_token()
        >> fetch_pages()
        >> filter_referrals
        >> extract_domains()
        >> load_referrals
        >> verify_counts()
        >> close_run().as_teardown()
    )


for each in accounts.listed(os.environ):
    with sync_of(each):
        wire(each)
