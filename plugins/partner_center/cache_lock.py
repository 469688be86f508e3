"""One process at a time loads, renews and saves a token cache: an advisory lock in the warehouse.

Airflow's Variables have no compare-and-set, and a task reaches no other store that all executors share; the warehouse
is there wherever a sync can run (docs/adr/0009).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from partner_center import warehouse
from partner_center.errors import ConfigurationError
from partner_center.warehouse import WarehouseUnavailable

log = logging.getLogger(__name__)

# A renewal takes a second or two, and at most some time-outs of the login.
_WAIT = "set local lock_timeout = '90s'; set local idle_in_transaction_session_timeout = '5min'"


@contextlib.contextmanager
def held(key: str, *, or_without: bool = False) -> Iterator[None]:
    """Hold the lock of the cache in that Variable; it ends with the transaction, so also where a worker is killed.

    Args:
        key: the Variable.
        or_without: go on without the lock where the warehouse cannot be reached. Then no run can renew a token either,
            and a person's sign-in is not lost.

    Raises:
        ConfigurationError: there is no warehouse.
        WarehouseUnavailable: it cannot be reached, or another process holds the lock for 90 seconds.
    """
    with contextlib.ExitStack() as lock:
        try:
            connection = lock.enter_context(warehouse.connect())
            with warehouse.translated_errors():
                connection.execute(_WAIT)
                # For the transaction, not for the session: pgbouncer gives that to somebody else in between.
                connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (key,))
        except (ConfigurationError, WarehouseUnavailable) as err:
            if not or_without:
                raise
            log.warning("The sign-in is kept without the lock, since the warehouse cannot be used: %s", err)
        yield
        try:
            lock.close()
        except WarehouseUnavailable:
            # What was to be kept is kept: to fail now would undo a person's sign-in for nothing.
            log.warning("The warehouse ended the connection that held the lock of the token cache.")
