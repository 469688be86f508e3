"""The counts and the first rows of a run as people like to see them: 80 columns, with or without colour."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .steps import can_print

BAR = 34
# Label, count, indent and colour of each line of the funnel.
FUNNEL = (
    ("fetched", "fetched", 0, "cyan"),
    ("eligible", "eligible", 0, "cyan"),
    ("with a domain", "with_domain", 1, "green"),
    ("without a domain", "without_domain", 1, "yellow"),
    ("persisted", "persisted", 0, "bold green"),
)
# Width of each column on 80 columns, and whether it takes some of the room that a wider terminal has.
COLUMNS = {
    "customer": (14, True),
    "deal": (11, True),
    "type": (14, False),
    "status": (6, False),
    "domain": (12, True),
    "value": (8, False),
    "updated": (7, False),
}
WRITTEN = ("inserted", "updated", "unchanged")
LEFT_OUT = ("duplicates", "quarantined", "closed")


def show(run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], total: int) -> None:
    """Print the funnel of a run and some rows."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 80)
    safe = not can_print("█─…")
    console.print()
    console.print(funnel(run, safe=safe))
    console.print()
    console.print(left_out(run))
    if rows:
        console.print()
        console.print(table(rows, total, console.width, safe=safe))


def funnel(run: Mapping[str, Any], *, safe: bool = False) -> Table:
    """Return the bars, scaled to what was fetched."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(min_width=20)
    grid.add_column(justify="right")
    grid.add_column()
    most = max(int(run["fetched"] or 0), 1)
    for label, name, indent, style in FUNNEL:
        count = int(run[name] or 0)
        bar = bar_of(count / most, "#" if safe else "█")
        note = f"  {written(run)}" if name == "persisted" else ""
        grid.add_row(f"  {'  ' * indent}{label}", str(count), Text.assemble((bar, style), (note, "dim")))
    return grid


def bar_of(share: float, character: str) -> str:
    """Return a bar; anything above zero shows."""
    return character * (max(1, round(share * BAR)) if share > 0 else 0)


def written(run: Mapping[str, Any]) -> str:
    """Say what the load did with the rows."""
    return ", ".join(f"{run[name] or 0} {name}" for name in WRITTEN)


def left_out(run: Mapping[str, Any]) -> Text:
    """Say where the fetched rows went that were not eligible: every row is accounted for."""
    skipped = run["skipped"] or {}
    reasons = [f"{count} by {reason}" for reason, count in sorted(skipped.items())]
    others = [f"{run[name]} {name}" for name in LEFT_OUT if run[name]]
    return Text(f"  Not eligible: {', '.join([*others, *reasons]) or 'none'}.", style="dim")


def table(rows: Sequence[Mapping[str, Any]], total: int, width: int, *, safe: bool = False) -> Table:
    """Return some referrals as a table that fits the width."""
    view = Table(
        title=f"partner_center_referrals, {len(rows)} of {total} rows",
        title_justify="left",
        title_style="bold",
        box=box.ASCII2 if safe else box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 0),
    )
    spare = max(0, (min(width, 160) - 80) // 3)
    for name, (fits, grows) in COLUMNS.items():
        view.add_column(
            name,
            width=fits + (spare if grows else 0),
            overflow="crop" if safe else "ellipsis",
            no_wrap=True,
            justify="right" if name == "value" else "left",
        )
    for row in rows:
        cells = (row["customer_name"], row["name"], row["referral_type"], row["status"], row["domain"])
        value = amount(row["deal_value"], row["currency"])
        view.add_row(*(plain(cell) for cell in cells), value, day(row["updated_at"]))
    return view


def plain(cell: str | None) -> Text:
    """Return text as it is, never as markup or control codes."""
    return Text("".join(c if c.isprintable() else " " for c in cell) if cell else "-")


def amount(value: Any, currency: str | None) -> str:
    """Return a deal's value, short."""
    if value is None:
        return "-"
    number = float(value)
    for limit, divisor, unit in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(number) >= limit:
            digits = 1 if abs(number) < 10 * divisor else 0
            return f"{number / divisor:.{digits}f}{unit} {currency or ''}".strip()
    return f"{number:.0f} {currency or ''}".strip()


def day(moment: datetime | None) -> str:
    """Return the day of a moment."""
    return "-" if moment is None else f"{moment:%m-%d}"
