"""Erase a person from the warehouse: from the tables of all partner accounts, and from what comes in later.

Give the e-mail address on standard input, which no process list and no shell's history shows; or --referral ID, for all
people of one referral. Without --yes nothing is changed: it shows how many rows of each table would be. Exit status 0
when that worked, also when nothing was found; 1 otherwise, with one line that says why.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "plugins"))
SQL, MIGRATIONS = ROOT / "include" / "sql" / "privacy", ROOT / "include" / "migrations"


def main() -> int:
    """Erase, or show what would be; return the exit status."""
    arguments = _arguments()
    from partner_center import airflow_store
    from partner_center.errors import PartnerCenterError

    airflow_store.open_from_shell()
    try:
        _erase(arguments)
    except PartnerCenterError as err:
        print(f"Not erased: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. What was erased is erased; run this once more.", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--referral", metavar="ID", help="all people of this referral, in place of one address")
    parser.add_argument("--yes", action="store_true", help="really erase; there is no way back")
    return parser.parse_args()


def _erase(arguments: argparse.Namespace) -> None:
    from partner_center import erasing
    from partner_center.erasure_request import Request

    request = Request(None if arguments.referral is not None else _address(), arguments.referral)
    print(f"{'Erasing' if arguments.yes else 'Looking for'} {request.shown}.")
    total = 0
    # All first, so that no account is left out for another one's sake.
    for account in list(erasing.accounts_with_tables(MIGRATIONS)):
        found = erasing.erase(request, account, SQL, really=arguments.yes)
        total += found.total
        print(f"Account {account.connection_id}, schema {account.schema}:")
        for table, rows in found.rows.items():
            print(f"  {table:<36}{rows:>8}")
    print(_ending(total, really=arguments.yes))


def _address() -> str:
    return getpass.getpass("E-mail address (not shown): ") if sys.stdin.isatty() else sys.stdin.readline()


def _ending(total: int, *, really: bool) -> str:
    if really:
        return f"{total} rows erased. Rows that come in from now on are stored without the person."
    if total:
        return f"{total} rows found. Nothing was changed; to erase, the same command with --yes."
    return "Not found. With --yes, rows that come in later are stored without the person all the same."


if __name__ == "__main__":
    sys.exit(main())
