"""What a deployment asks of the package; the scripts deploy_production.sh and rollback.sh call it in the image.

warehouse: how the connection partner_center_db leads to the database, as libpq's environment (it holds the password).
preflight: the doctor, offline; exit status 1 when something is wrong that every run would fail for.
flag on|off: sets the Variable partner_center_enabled and reads it back.
smoke: lets each account's sync run, first dry, then in earnest, and counts the rows.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "plugins"))


def main() -> int:
    """Do what is asked; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("what", choices=["warehouse", "preflight", "flag", "smoke"])
    parser.add_argument("value", nargs="?", choices=["on", "off"])
    arguments = parser.parse_args()
    if (arguments.what == "flag") != (arguments.value is not None):
        parser.error("flag takes on or off, the others take nothing")
    out = sys.stdout
    # What Airflow says meanwhile is nobody's answer.
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()):
        from partner_center import airflow_store
        from partner_center.errors import PartnerCenterError

        airflow_store.open_from_shell()
        try:
            return _do(arguments.what, arguments.value, lambda line: print(line, file=out, flush=True))
        except PartnerCenterError as err:
            print(f"error: {err}", file=sys.stderr)
            return 1


def _do(what: str, value: str | None, tell: Callable[[str], None]) -> int:
    from partner_center import deployment

    if what == "warehouse":
        for line in deployment.warehouse_environment():
            tell(line)
        return 0
    if what == "preflight":
        return deployment.preflight(ROOT / "include" / "migrations", tell)
    if what == "flag":
        deployment.switch(is_on=value == "on")
        return 0
    from partner_center.ui import smoke_test

    return smoke_test.run_all(tell)


if __name__ == "__main__":
    sys.exit(main())
