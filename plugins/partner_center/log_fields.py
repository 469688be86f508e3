"""What the log lines and the span of a task say beside their text, for whoever searches by fields.

Airflow binds its own fields (``dag_id``, ``task_id``, ``run_id``, ``try_number``, …) where a task begins, and puts what
is bound on every line: on those of structlog, and on those of Python's `logging`, too. Ours are bound the same way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry import trace
from structlog.contextvars import bound_contextvars

_PREFIX = "partner_center."


@contextlib.contextmanager
def of(connection_id: str, **more: str) -> Iterator[None]:
    """Put on every line meanwhile which account it is about, and on the task's span, too.

    Args:
        connection_id: the account's connection.
        more: further fields.
    """
    fields = {"connection": connection_id, **more}
    _enrich_span(fields)
    with bound_contextvars(**fields):
        yield


@contextlib.contextmanager
def counted(counts: Mapping[str, Any]) -> Iterator[None]:
    """Put counts on the lines meanwhile (write one), and on the task's span, each as a field of its own.

    Args:
        counts: as a task returns them: numbers, short texts, and objects of numbers, which become ``name.key``.
    """
    fields = flat(counts)
    _enrich_span(fields)
    with bound_contextvars(**fields):
        yield


def flat(counts: Mapping[str, Any]) -> dict[str, int | float | str]:
    """Return the counts without an object in them: ``{"skipped": {"status": 2}}`` becomes ``{"skipped.status": 2}``."""
    found: dict[str, int | float | str] = {}
    for name, value in counts.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": each for key, each in value.items()}
        elif value is not None:
            found[name] = value
    return found


def _enrich_span(fields: Mapping[str, int | float | str]) -> None:
    """Add to the span that Airflow has opened for the task; without tracing there is one that takes everything."""
    trace.get_current_span().set_attributes({f"{_PREFIX}{name}": value for name, value in fields.items()})
