"""The referrals that the API holds: text that is ready to send, parsed only when somebody asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(slots=True)
class Row:
    """One row of the list, by the text that goes out for it; `id` is None where it has no usable one."""

    id: str | None
    text: bytes

    @classmethod
    def of_text(cls, text: str) -> Row:
        """Take a row as it is, even if it is broken."""
        raw = text.encode()
        try:
            value = json.loads(raw)
        except ValueError:
            return cls(None, raw)
        found = value.get("id") if isinstance(value, dict) else None
        return cls(found if isinstance(found, str) and found else None, raw)

    @classmethod
    def of(cls, referral: Mapping[str, Any]) -> Row:
        """Take a row from its JSON object."""
        return cls.of_text(dumps(referral))

    def value(self) -> Any:
        """Parse the row; None if it is no JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


def dumps(value: Any) -> str:
    """Write JSON as compactly as the API does; a lone surrogate has to stay an escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def partial_reader(names: Iterable[str]) -> Callable[[Row], Mapping[str, Any]]:
    """Make a reader of a few top-level properties that skips the rest: for filters over many rows."""
    wanted = sorted(names)
    head = msgspec.defstruct("Head", [(name, Any, None) for name in wanted])
    decoder = msgspec.json.Decoder(head)

    def read(row: Row) -> Mapping[str, Any]:
        try:
            return msgspec.structs.asdict(decoder.decode(row.text))
        except (msgspec.DecodeError, UnicodeDecodeError):
            # msgspec is stricter than JSON in the wild: lone surrogates, huge numbers.
            value = row.value()
            return value if isinstance(value, dict) else {}

    return read


class Store:
    """The rows in their order, with an index by id; `version` changes with every write."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.version = 0
        self._index: dict[str, int] = {}

    def replace_all(self, rows: list[Row]) -> None:
        """Forget everything and hold these rows."""
        self.rows = rows
        self._reindex()

    def extend(self, rows: list[Row]) -> None:
        """Put rows behind those that are there, even under an id that is taken."""
        self.replace_all(self.rows + rows)

    def find(self, referral_id: str) -> Row | None:
        """Give the first row of this id."""
        position = self._index.get(referral_id)
        return None if position is None else self.rows[position]

    def put(self, row: Row) -> None:
        """Replace the row of this id where it stands, or append it."""
        position = self._index.get(row.id) if row.id else None
        if position is None:
            if row.id:
                self._index[row.id] = len(self.rows)
            self.rows.append(row)
        else:
            self.rows[position] = row
        self.version += 1

    def delete(self, referral_id: str) -> bool:
        """Remove every row of this id and say whether there was one."""
        kept = [row for row in self.rows if row.id != referral_id]
        gone = len(kept) < len(self.rows)
        self.replace_all(kept)
        return gone

    def _reindex(self) -> None:
        self._index = {}
        for position, row in enumerate(self.rows):
            if row.id:
                self._index.setdefault(row.id, position)
        self.version += 1
