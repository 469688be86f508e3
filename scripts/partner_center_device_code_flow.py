"""Sign in to Partner Center from a shell, by device code.

Prints the address and the code, waits until somebody has signed in there, keeps the tokens in the Airflow Variable
partner_center_token_cache and reads them back. Exit status 0 when signed in, 1 otherwise with one line that says why.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins"))


def main() -> int:
    """Sign in; return the exit status."""
    from partner_center import airflow_store
    from partner_center.errors import PartnerCenterError

    airflow_store.open_from_shell()
    from sqlalchemy.exc import SQLAlchemyError

    from partner_center.sign_in import by_device_code

    try:
        token = by_device_code(show=lambda line: print(line, flush=True))
    except PartnerCenterError as err:
        return _refuse(str(err))
    except SQLAlchemyError as err:
        return _refuse(
            f"Airflow's metadata database cannot be used ({type(err).__name__}). Run: airflow db migrate, and check "
            "AIRFLOW_HOME and AIRFLOW__DATABASE__SQL_ALCHEMY_CONN."
        )
    except KeyboardInterrupt:
        return _refuse("interrupted.")
    print(f"Signed in as {token.account}. The next run of the sync uses it; there is nothing else to do.")
    return 0


def _refuse(why: str) -> int:
    print(f"Not signed in: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
