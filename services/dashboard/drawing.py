"""The chart as the server draws it, for a page without JavaScript: SVG paths with gaps where data is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.dashboard import quantities

if TYPE_CHECKING:
    from services.dashboard.view import Series

WIDTH = 600
HEIGHT = 160


@dataclass(frozen=True, slots=True)
class Line:
    """A stretch without a gap: the line itself, and the area below it."""

    trace: str
    area: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart's lines in a box of WIDTH by HEIGHT, and what it says in words."""

    lines: tuple[Line, ...]
    label: str
    width: int = WIDTH
    height: int = HEIGHT


def draw(series: Series | None) -> Drawing:
    """Draw `series` with y from zero to a tenth above its greatest value."""
    known = [value for value in series.values if value is not None] if series else []
    if series is None or not known:
        return Drawing((), "No hash rate in the last hour")
    top = max(known) * 1.1 or 1.0
    stride = WIDTH / max(1, len(series.values) - 1)
    stretches: list[list[str]] = [[]]
    for index, value in enumerate(series.values):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append(f"{index * stride:.1f} {HEIGHT - value / top * HEIGHT:.1f}")
    lines = tuple(_line(points) for points in stretches if points)
    words = [quantities.hash_rate(value) for value in (min(known), max(known), known[-1])]
    return Drawing(lines, "Hash rate in the last hour: lowest {}, highest {}, last {}".format(*words))


def _line(points: list[str]) -> Line:
    first, last = points[0].split()[0], points[-1].split()[0]
    # A lone point becomes a stroke without length, which round ends make a dot.
    path = "L".join(points) if len(points) > 1 else f"{points[0]}h0"
    return Line(f"M{path}", f"M{first} {HEIGHT}L{path}L{last} {HEIGHT}Z")
