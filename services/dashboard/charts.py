"""What a chart shows. The server draws it as SVG (drawing.py), the browser with uPlot (chart.js): the same data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec


@dataclass(frozen=True, slots=True)
class Trace:
    """One quantity along the chart; None where there is no data, which leaves a gap.

    `ink` names a colour of base.css: accent, good, warning, bad, muted, or 1 to 8 for things of equal rank. An "edge"
    is drawn by the band alone that it bounds.
    """

    name: str
    values: tuple[float | None, ...]
    ink: str = "accent"
    kind: Literal["line", "area", "dashed", "bars", "edge"] = "line"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at `at`, unix seconds: a failover, a reload, a block candidate."""

    at: float
    text: str
    ink: str = "warning"


@dataclass(frozen=True, slots=True)
class Chart:
    """Traces over equal steps from `start` (unix seconds); value n covers the `step` seconds from start + n * step.

    With `labels` there is no time: each value has its label. `unit` stands behind every value with an SI prefix ("H/s",
    "%"); a percentage goes to 100. `band` names two traces by number, upper and lower, between which it is shaded.
    `stacked` draws each trace on top of those before it. `logarithmic` draws heights by their logarithm, from 1 on.
    """

    start: int
    step: int
    traces: tuple[Trace, ...]
    unit: str = ""
    labels: tuple[str, ...] = ()
    band: tuple[int, int] | None = None
    stacked: bool = False
    marks: tuple[Mark, ...] = ()
    logarithmic: bool = False

    @property
    def steps(self) -> int:
        return max((len(trace.values) for trace in self.traces), default=0)

    def json(self) -> str:
        """For the browser: the attribute data-chart, or an event."""
        return msgspec.json.encode(self).decode()
