"""Run as a child: migrate Airflow's metadata database and, if asked, switch the feature flag on in it.

One process for both, because importing Airflow takes longer than either.
"""

from __future__ import annotations

import argparse

VARIABLE = "partner_center_enabled"
DESCRIPTION = "Feature flag of the referral sync. Off: no network call."


def main() -> None:
    """Migrate; with --enable, set the Variable unless the database has one already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--enable", action="store_true")
    enable = parser.parse_args().enable

    # After the arguments: a wrong one should not cost the seconds of this import. And the models' Variable,
    # not the SDK's: outside a task only that one writes to the database.
    from airflow.models.variable import Variable
    from airflow.utils.db import initdb

    initdb()
    if enable and Variable.get(VARIABLE, default_var=None) is None:
        Variable.set(VARIABLE, "true", description=DESCRIPTION)


if __name__ == "__main__":
    main()
