"""How values look on a page: numbers, amounts, times, durations."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from markupsafe import Markup

NOTHING = "\N{EN DASH}"
_THOUSANDS = "\N{NARROW NO-BREAK SPACE}"


def number(value: int | None) -> str:
    """``1234567`` becomes ``1 234 567``, with spaces that do not break; None a dash."""
    return NOTHING if value is None else f"{value:,}".replace(",", _THOUSANDS)


def amount(value: Decimal | None, currency: str | None = None) -> str:
    """Return a deal value with its currency, the cents where there are any."""
    if value is None:
        return NOTHING
    text = f"{value:,.2f}" if value % 1 else f"{value:,.0f}"
    return f"{text.replace(',', _THOUSANDS)} {currency or ''}".rstrip()


def moment(value: datetime | None) -> str:
    """Return a time as an element that the page's script shows in the viewer's zone; without script it is UTC."""
    if value is None:
        return NOTHING
    return Markup('<time datetime="{}">{}</time>').format(f"{value:%Y-%m-%dT%H:%M:%SZ}", f"{value:%Y-%m-%d %H:%M} UTC")


def duration(value: timedelta | None) -> str:
    """Return a span of time in its two largest units."""
    if value is None:
        return NOTHING
    seconds = round(value.total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    if minutes:
        return f"{minutes} min {seconds % 60} s"
    return f"{value.total_seconds():.1f} s" if seconds < 10 else f"{seconds} s"


def decimal(value: str | Decimal) -> Decimal:
    """Return an amount that came as text within JSON."""
    return Decimal(value)


FILTERS = {"number": number, "amount": amount, "decimal": decimal, "moment": moment, "duration": duration}
