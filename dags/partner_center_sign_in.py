"""
### Partner Center sign-in

Signs a person in to Microsoft Partner Center by device code, once. Afterwards `partner_center_referral_sync` keeps the
sign-in alive by itself.

1. *Trigger* this DAG, with the connection of one partner account where there are several, and open the log of the task
   `sign_in`: it shows an address and a code.
2. Open the address on any device, enter the code, and sign in with multi-factor authentication, as a user with the role
   Referrals Admin or Referrals User.
3. The task ends by itself and says who is signed in. While it waits it occupies no worker.

**When it fails**, the log says why: the code ended (trigger again), it was declined, or an administrator has to allow
something. From a shell the same is done by `python scripts/partner_center_device_code_flow.py`.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pendulum
from airflow.sdk import Param, dag

from partner_center import accounts
from partner_center.retry_policy import RetryWhatMayPass
from partner_center.sign_in_operator import SignInOperator


@dag(
    dag_id="partner_center_sign_in",
    dag_display_name="Partner Center sign-in",
    description="Signs a person in to Partner Center by device code; the task's log shows address and code.",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["partner-center", "auth"],
    default_args={
        "owner": "sales-operations",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_policy": RetryWhatMayPass(),
    },
    params={
        "connection": Param(
            accounts.DEFAULT.connection_id,
            type="string",
            enum=accounts.connections(os.environ),
            description_md="Which partner account: the connection's id.",
        )
    },
)
def partner_center_sign_in() -> None:
    """Wire the one task."""
    SignInOperator(
        task_id="sign_in",
        doc_md="Shows address and code in its log, then waits without a worker.",
        partner_center_conn_id="{{ params.connection }}",
    )


partner_center_sign_in()
