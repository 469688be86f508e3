"""The data sets: the same bytes every time, dated in the autumn of 2026 whatever the clock says."""

from __future__ import annotations

from simulator.data.awkward import AWKWARD, Case, all_awkward
from simulator.data.bulk import bulk
from simulator.data.disaster import disaster
from simulator.store import Row

__all__ = ["AWKWARD", "Case", "all_awkward", "bulk", "disaster", "load"]


def load(name: str) -> list[Row]:
    """Give the rows of `empty`, `disaster`, `awkward` or `bulk:N`.

    Raises:
        ValueError: there is no such data set.
    """
    kind, _, count = name.partition(":")
    if kind == "bulk" and count.isdecimal():
        return bulk(int(count))
    if name == "empty":
        return []
    if name == "disaster":
        return [Row.of(referral) for referral in disaster()]
    if name == "awkward":
        return [Row.of_text(text) for text in all_awkward()]
    problem = f"There is no data set {name!r}; there are empty, disaster, awkward and bulk:N."
    raise ValueError(problem)
