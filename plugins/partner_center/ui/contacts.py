"""The people behind a referral: for whoever may edit, which is logged; masked for everybody else."""

from __future__ import annotations

import logging
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import Request

from partner_center.accounts import Account
from partner_center.redaction import mask_email
from partner_center.ui import guards
from partner_center.ui.masking import masked
from partner_center.ui.reading import Row

GONE = "There is no such referral. It may have been skipped or quarantined: look there for its id."

log = logging.getLogger(__name__)


def raw_for(request: Request, user: BaseUser, account: Account, referral: Row) -> tuple[Any, bool]:
    """Return a referral's JSON as the user may see it, and whether he may edit."""
    if not guards.may_edit(request, user, account):
        return masked(referral["raw_data"]), False
    log.info("%s looked at the contacts of the referral %s.", mask_email(user.get_name()), referral["referral_id"])
    return referral["raw_data"], True
