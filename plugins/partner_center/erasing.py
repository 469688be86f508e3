"""Erases a person from the warehouse, in the tables of all partner accounts (docs/runbooks/privacy.md).

First the fingerprint is kept and committed, so that no row which comes in from then on names the person; a run that is
reading meanwhile notices and reads anew (staging.py). Then, in one transaction an account, under the lock that the load
takes, every table in which referrals leave texts is gone through. A table of the schema that is not in `PLACES` holds
no text of a person.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partner_center import warehouse
from partner_center.accounts import Account
from partner_center.erased_people import ADDRESS, SALT_BYTES, fingerprint
from partner_center.erasure_request import Request
from partner_center.errors import SchemaBehind
from partner_center.exact_json import as_written, read_json, write_json

if TYPE_CHECKING:
    import psycopg

PLACES = {
    "referrals": "partner_center_referrals",
    "versions": "partner_center_referral_versions",
    "history": "partner_center_referral_history",
    "staged": "partner_center_staged",
    "quarantine": "partner_center_quarantine",
    "overrides": "partner_center_link_overrides",
    "companies": "partner_center_companies",
    "drift": "partner_center_contract_drift",
}
"""Table by the name of its files below include/sql/privacy."""
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, or erased, in one account: rows by table."""

    account: Account
    rows: dict[str, int]

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


def accounts_with_tables(migrations: Path) -> Iterator[Account]:
    """Yield the accounts to go through.

    Args:
        migrations: folder of alembic's scripts.

    Raises:
        SchemaBehind: the tables of one are not those of this code.
        ConfigurationError, WarehouseUnavailable, WarehouseError: as `warehouse.connect`.
    """
    for account in warehouse.migrated_together():
        with warehouse.tables_of(account):
            current, newest = warehouse.revisions(migrations)
        if current is None:
            continue
        if current != newest:
            raise SchemaBehind(
                f"The tables in the schema {account.schema} are at revision {current}, this code knows {newest}: a "
                "table could be passed over, so nothing was erased. Run: alembic upgrade head; then this once more."
            )
        yield account


def erase(request: Request, account: Account, sql: Path, *, really: bool) -> Found:
    """Erase from one account's tables, or count what would be.

    Args:
        request: whom.
        account: whose tables.
        sql: folder of the SQL files.
        really: False changes nothing.

    Raises:
        WarehouseUnavailable, WarehouseError: nothing was erased; what comes in is stripped already.
    """
    with warehouse.tables_of(account):
        if really:
            _remember(request, sql)
        with warehouse.connect() as connection:
            return Found(account, _Erasure(connection, request, sql).run(really=really))


def _remember(request: Request, sql: Path) -> None:
    """Keep the fingerprint, in a transaction of its own."""
    with warehouse.connect() as connection:
        found = warehouse.run_sql(connection, _file(sql, "salt"), {})
        salt = found.get("salt") or os.urandom(SALT_BYTES)
        values = {"kind": request.kind, "salt": salt, "fingerprint": fingerprint(request.kind, request.value, salt)}
        connection.execute(_file(sql, "remember"), values)


def _file(sql: Path, name: str) -> str:
    return (sql / f"{name}.sql").read_text(encoding="utf-8")


class _Erasure:
    """One transaction over the tables of one account."""

    def __init__(self, connection: psycopg.Connection[Any], request: Request, sql: Path) -> None:
        self._connection = connection
        self._request = request
        self._sql = sql
        # As it stands within a JSON text.
        self._needle = json.dumps(request.value, ensure_ascii=False)[1:-1]
        self._traces = request.traces()

    def run(self, *, really: bool) -> dict[str, int]:
        """Go through all places; return the rows of each that had to change."""
        if really:
            self._connection.execute(_file(self._sql, "lock_writer"))
        parameters = {"needle": self._needle, "referral": self._request.referral and self._request.value}
        for statement in warehouse.statements(_file(self._sql, "find_referrals")):
            self._connection.execute(statement, parameters)
        # Names first: of the rows to change, one may name the person without the address.
        for place in ("referrals", "versions", "staged"):
            for _, _, document in self._rows(place):
                self._traces.learn(read_json(document))
        return {table: self._through(place, really=really) for place, table in PLACES.items()}

    def _rows(self, place: str) -> Iterator[tuple[Any, Any, str]]:
        with self._connection.cursor(f"{place}_rows") as cursor:
            cursor.itersize = _BATCH
            cursor.execute(_file(self._sql, f"{place}_read"), {"needle": self._needle})
            yield from cursor

    def _through(self, place: str, *, really: bool) -> int:
        statements = warehouse.statements(_file(self._sql, f"{place}_write"))
        changed = 0
        for key, key_2, document in self._rows(place):
            erased = self._cleaned(place, document, key_2)
            if erased == document:
                continue
            changed += 1
            for statement in statements if really else ():
                self._connection.execute(statement, {"key": key, "key_2": key_2, "document": erased})
        return changed

    def _cleaned(self, place: str, text: str, key_2: Any) -> str:
        if place == "drift":
            return ""
        if place == "quarantine":
            return self._of_quarantined(text, is_theirs=key_2 == "theirs")
        document = read_json(text)
        erased = self._traces.erased(document)
        return text if erased == document else write_json(erased)

    def _of_quarantined(self, text: str, *, is_theirs: bool) -> str:
        """Only in their own referrals, a name without an address is theirs: another one may have it, too."""
        if self._request.kind == ADDRESS:
            return (self._traces if is_theirs else self._request.traces()).erased_text(text)
        return self._traces.erased_text(text) if is_theirs and self._is_of(text) else text

    def _is_of(self, text: str) -> bool:
        """Whether a row is of the referral; what is no JSON and holds the id counts as such."""
        try:
            document = read_json(text)
        except (ValueError, RecursionError):
            return True
        found = document.get("id") if isinstance(document, dict) else None
        return isinstance(found, str) and as_written(found).strip() == self._request.value
