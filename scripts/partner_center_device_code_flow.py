"""Sign in to Partner Center from a shell: by device code, by browser, or with a refresh token from elsewhere.

Keeps the tokens in the Airflow Variable partner_center_token_cache, reads them back and makes one real call. Exit
status 0 when signed in as somebody who may read referrals, 1 otherwise with one line that says why.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))


def main() -> int:
    """Sign in; return the exit status."""
    arguments = _arguments()
    from partner_center import airflow_store
    from partner_center.errors import PartnerCenterError

    airflow_store.open_from_shell()
    from sqlalchemy.exc import SQLAlchemyError

    try:
        report = _sign_in(arguments)
        for line in report.lines():
            print(line)
        report.raise_if_refused()
    except PartnerCenterError as err:
        return _refuse(str(err))
    except SQLAlchemyError as err:
        return _refuse(
            f"Airflow's metadata database cannot be used ({type(err).__name__}). Run: airflow db migrate, and check "
            "AIRFLOW_HOME and AIRFLOW__DATABASE__SQL_ALCHEMY_CONN."
        )
    except KeyboardInterrupt:
        return _refuse("interrupted.")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--connection", default="partner_center_default", metavar="ID", help="the account's connection")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--browser", action="store_true", help="by browser, where policies block device codes")
    way.add_argument(
        "--refresh-token", action="store_true", help="read a refresh token from standard input, and redeem it once"
    )
    parser.add_argument(
        "--port", type=int, default=0, help="with --browser: the port of http://localhost to come back to; 0 for any"
    )
    return parser.parse_args()


def _sign_in(arguments: argparse.Namespace) -> Any:
    from partner_center import sign_in
    from partner_center.hook import PartnerCenterHook

    hook = PartnerCenterHook(arguments.connection)
    if arguments.browser:
        return sign_in.by_browser(_show, hook, arguments.port)
    if arguments.refresh_token:
        return sign_in.by_refresh_token(_refresh_token(), hook)
    return sign_in.by_device_code(_show, hook)


def _refresh_token() -> str:
    """Read it from standard input, which no process list and no shell's history shows."""
    from partner_center.errors import ConfigurationError

    given = getpass.getpass("Refresh token (not shown): ") if sys.stdin.isatty() else sys.stdin.readline()
    if not given.strip():
        raise ConfigurationError("No refresh token came by standard input. Pipe it in, or paste it when asked.")
    return given.strip()


def _show(line: str) -> None:
    print(line, flush=True)


def _refuse(why: str) -> int:
    print(f"Not signed in: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
