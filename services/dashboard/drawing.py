"""A chart as the server draws it, for a page without JavaScript: SVG paths with gaps where data is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from services.dashboard import quantities

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.dashboard.charts import Chart, Trace

WIDTH: Final = 600
HEIGHT: Final = 160
_NAMED: Final = 6


@dataclass(frozen=True, slots=True)
class Path:
    """A path in the drawing's box; `kind` is how it is painted: as a stroke, or filled with the ink or its wash."""

    data: str
    ink: str
    kind: Literal["stroke", "dashed", "wash", "fill"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart in a box of WIDTH by HEIGHT, and what it says in words."""

    paths: tuple[Path, ...]
    label: str
    width: int = WIDTH
    height: int = HEIGHT


def draw(chart: Chart | None, name: str) -> Drawing:
    """Draw `chart` with y from zero to a tenth above its greatest value; `name` is what the words begin with."""
    heights = _heights(chart) if chart is not None else []
    known = [value for values in heights for value in values if value is not None]
    if chart is None or not known:
        return Drawing((), f"{name}: no data")
    top = 100.0 if chart.unit == "%" else max(known) * 1.1 or 1.0
    # What lies behind is drawn first: of a stack, the topmost trace.
    drawn = list(zip(chart.traces, heights, strict=True))
    paths = [
        path for trace, values in (reversed(drawn) if chart.stacked else drawn) for path in _paths(trace, values, top)
    ]
    return Drawing(tuple(paths), f"{name}: {_words(chart)}")


def _heights(chart: Chart) -> list[tuple[float | None, ...]]:
    """Where each trace's values stand: as they are, by their logarithm, or on top of the traces before."""
    if chart.logarithmic:
        return [tuple(None if not value else math.log1p(value) for value in trace.values) for trace in chart.traces]
    if not chart.stacked:
        return [trace.values for trace in chart.traces]
    below = [0.0] * chart.steps
    stacked = []
    for trace in chart.traces:
        below = [under + (value or 0.0) for under, value in zip(below, trace.values, strict=True)]
        stacked.append(tuple(None if value is None else top for value, top in zip(trace.values, below, strict=True)))
    return stacked


def _paths(trace: Trace, values: Sequence[float | None], top: float) -> Iterator[Path]:
    if trace.kind == "edge":
        return
    if trace.kind == "bars":
        stride = WIDTH / max(1, len(values))
        bars = "".join(
            f"M{(index + 0.1) * stride:.1f} {HEIGHT}V{_y(value, top)}h{0.8 * stride:.1f}V{HEIGHT}Z"
            for index, value in enumerate(values)
            if value
        )
        if bars:
            yield Path(bars, trace.ink, "fill")
        return
    stride = WIDTH / max(1, len(values) - 1)
    stretches: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append(f"{index * stride:.1f} {_y(value, top)}")
    for points in filter(None, stretches):
        # A lone point becomes a stroke without length, which round ends make a dot.
        line = "L".join(points) if len(points) > 1 else f"{points[0]}h0"
        if trace.kind == "area":
            first, last = points[0].split()[0], points[-1].split()[0]
            yield Path(f"M{first} {HEIGHT}L{line}L{last} {HEIGHT}Z", trace.ink, "wash")
        yield Path(f"M{line}", trace.ink, "dashed" if trace.kind == "dashed" else "stroke")


def _y(value: float, top: float) -> str:
    return f"{HEIGHT - value / top * HEIGHT:.1f}"


def _words(chart: Chart) -> str:
    said = []
    for trace in chart.traces[:_NAMED]:
        known = [value for value in trace.values if value is not None]
        if known:
            low, high, last = (quantities.si(value, chart.unit) for value in (min(known), max(known), known[-1]))
            said.append(f"{trace.name} lowest {low}, highest {high}, last {last}")
    more = len(chart.traces) - _NAMED
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")
