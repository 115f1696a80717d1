"""The heat map of workers by hour: each worker's row as shapes, one for each shade."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.dashboard import quantities

if TYPE_CHECKING:
    from services.warehouse.share_figures import HeatMap, HeatRow

SHADES: Final = 6


@dataclass(frozen=True, slots=True)
class Shade:
    """All cells of a row with one shade, 1 (pale) to SHADES, as an SVG path in a box as wide as there are cells."""

    number: int
    path: str


@dataclass(frozen=True, slots=True)
class HeatLine:
    """A worker's row: shades by its own best step, and its rates in H/s with three digits for the pointer."""

    worker: str
    shades: tuple[Shade, ...]
    rates: tuple[float, ...]
    """0 where there was no accepted share."""
    best: float
    words: str


@dataclass(frozen=True, slots=True)
class HeatTable:
    start: int
    step_seconds: int
    columns: int
    lines: tuple[HeatLine, ...]

    @property
    def moments(self) -> tuple[int, int, int]:
        """When the first column begins, the one in the middle, and when the last ends."""
        middle = self.start + self.columns // 2 * self.step_seconds
        return self.start, middle, self.start + self.columns * self.step_seconds


def heat_table(heat: HeatMap, start: int, end: int) -> HeatTable:
    """A step of the worker's best rate is darkest; one without a share stays empty.

    Of the steps at both ends, one that lies in [start, end), unix seconds, by less than half sets no best: a share more
    or less is all that it tells.
    """
    columns = len(heat.rows[0].hash_rates) if heat.rows else 0
    first = 1 if 2 * (heat.start + heat.step_seconds - start) < heat.step_seconds else 0
    last = columns - 1 if 2 * (end - heat.start - (columns - 1) * heat.step_seconds) < heat.step_seconds else columns
    lines = tuple(_line(row, slice(first, last)) for row in heat.rows)
    return HeatTable(heat.start, heat.step_seconds, columns, lines)


def _line(row: HeatRow, whole: slice) -> HeatLine:
    rates = [rate for rate in row.hash_rates[whole] if rate is not None]
    best = max(rates or [rate for rate in row.hash_rates if rate is not None], default=0.0)
    cells: dict[int, list[str]] = {}
    for index, rate in enumerate(row.hash_rates):
        if rate:
            cells.setdefault(min(SHADES, math.ceil(rate / best * SHADES)), []).append(f"M{index} 0h1v1h-1z")
    silent = sum(rate is None for rate in row.hash_rates)
    words = f"at most {quantities.hash_rate(best)}; {silent} of {len(row.hash_rates)} steps without an accepted share"
    return HeatLine(
        row.worker,
        tuple(Shade(number, "".join(paths)) for number, paths in sorted(cells.items())),
        tuple(float(f"{rate or 0:.3g}") for rate in row.hash_rates),
        best,
        words,
    )
