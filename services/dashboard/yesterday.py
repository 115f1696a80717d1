"""The tiles' figures against those of the same time yesterday."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from services.dashboard import quantities
from services.dashboard.kept import Kept
from services.dashboard.tiles import TILES
from services.dashboard.view import Cell
from services.warehouse.day_history import DaySums, day_before

if TYPE_CHECKING:
    from services.dashboard.figures import Figures
    from services.warehouse.analysis import Analysis

_NONE = Cell("")
_NOTHING = Cell("no share a day before", "Yesterday until this time of day, and the day before that")


def kept_yesterday(analysis: Analysis) -> Kept[DaySums]:
    """Asked for once a minute."""
    return Kept("day before", 60, partial(day_before, analysis))


def delta_cells(figures: Figures | None, before: DaySums | None) -> dict[str, Cell]:
    """A cell NAME_delta for each tile; empty where nothing can be compared."""
    none = {f"{name}_delta": _NONE for name, *_ in TILES}
    if figures is None or before is None:
        return none
    if not before.accepted + before.refused:
        return none | {"hash_rate_delta": _NOTHING}
    totals = figures.totals
    rate, then = totals.hash_rate_60m, before.hash_rate_60m
    submitted, submitted_then = totals.accepted + totals.rejected, before.accepted + before.refused
    return none | {
        "hash_rate_delta": _change(
            rate, then, f"60 minutes: {quantities.hash_rate(rate)}, and yesterday {quantities.hash_rate(then)}"
        ),
        "connected_delta": _more(figures.active, before.active_miners),
        "shares_delta": _change(
            totals.accepted, before.accepted, f"{totals.accepted:,}, and {before.accepted:,} in the 24 hours before"
        ),
        "acceptance_delta": _points(
            100 * totals.accepted / submitted if submitted else None,
            100 * before.accepted / submitted_then,
            f"{quantities.percent(before.accepted, submitted_then)} in the 24 hours before",
        ),
        "best_delta": Cell(
            f"the day before: {quantities.si(before.best_share)}" if before.best_share else "none the day before",
            quantities.exact(before.best_share),
        ),
    }


def _change(now: float, then: float, title: str) -> Cell:
    if not then:
        return Cell("none at this time yesterday", title)
    parts = 100 * (now - then) / then
    if abs(parts) < 0.05:
        return Cell("= as yesterday", title)
    # Of a rate that has grown many times over, percents say little.
    size = f"{now / then:.3g} times" if parts >= 1000 else f"{abs(parts):.{0 if abs(parts) >= 10 else 1}f} %"
    return Cell(f"{'▲' if parts > 0 else '▼'} {size} on yesterday", title)


def _more(now: int, then: int) -> Cell:
    title = f"{then:,} at this time yesterday"
    if now == then:
        return Cell("= as yesterday", title)
    return Cell(f"{'▲' if now > then else '▼'} {quantities.count(abs(now - then))} on yesterday", title)


def _points(now: float | None, then: float, title: str) -> Cell:
    if now is None:
        return Cell("none to compare", title)
    if abs(now - then) < 0.005:
        return Cell("= as yesterday", title)
    return Cell(f"{'▲' if now > then else '▼'} {abs(now - then):.2f} points on yesterday", title)
