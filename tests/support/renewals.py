"""Renews the token in several processes at once, as tasks of any executor would: `renewals.py PROCESSES TIMES`.

Each time with a new hook over the kept cache. Each process prints how many tokens it got, and how many different ones.
"""

from __future__ import annotations

import os
import sys


def main(processes: int, times: int) -> int:
    """Fork, once all is imported; return how many processes failed."""
    from partner_center import airflow_store

    airflow_store.open_from_shell()
    from partner_center.hook import PartnerCenterHook

    PartnerCenterHook().tokens.signed_in()
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            tokens = [PartnerCenterHook().tokens.current().secret for _ in range(times)]
            print(len(tokens), len(set(tokens)), flush=True)  # noqa: T201 - what the test reads
            os._exit(0)
        children.append(child)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
