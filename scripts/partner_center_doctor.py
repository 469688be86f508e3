"""Say why the sync does not run: one line for each thing that it needs, with what was found and what to do.

Looks and changes nothing, but that a token which is due is renewed, as a run would do. Exit status 0 when everything is
ok (warnings allowed), 1 otherwise. `make doctor` runs it over the environment of `make up`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "plugins"))


def main() -> int:
    """Look at everything; return the exit status."""
    arguments = _arguments()
    out = sys.stdout
    # What Airflow says meanwhile belongs to nobody's JSON, and what it logs the findings say better.
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(sys.stderr):
        from partner_center import airflow_store
        from partner_center.account_checks import Patient
        from partner_center.doctor import examine
        from partner_center.findings import exit_code

        airflow_store.open_from_shell()
        migrations = ROOT / "include" / "migrations"
        found = []
        patient = Patient(
            migrations, arguments.connection, arguments.offline, arguments.hint, frozenset(arguments.hint_for)
        )
        for finding in examine(patient):
            found.append(finding)
            if not arguments.json:
                print(finding.line(), file=out, flush=True)
    if arguments.json:
        print(json.dumps([finding.as_dict() for finding in found], indent=2))
    return exit_code(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--connection", default="partner_center_default", metavar="ID", help="the account's connection")
    parser.add_argument("--json", action="store_true", help="a list of {check, status, found, reason, advice}")
    parser.add_argument("--offline", action="store_true", help="no call to login, API or warehouse")
    parser.add_argument("--hint", default="", metavar="TEXT", help="what to advise first where a part does not answer")
    parts = ["account", "warehouse", "metadata"]
    parser.add_argument(
        "--hint-for",
        nargs="+",
        choices=parts,
        default=parts,
        metavar="PART",
        help=f"of which parts: {', '.join(parts)}",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
