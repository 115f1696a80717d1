"""The live page's charts: hash rate by pool and by worker, and shares by verdict, over the last hours."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from services.dashboard.charts import Chart, Trace
from services.dashboard.kept import Kept
from services.dashboard.marks import period_marks
from services.warehouse.pool_timelines import PoolStep, pool_timelines
from services.warehouse.share_query import ShareQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.warehouse.analysis import Analysis
    from services.warehouse.share_figures import HeatMap

SPANS: Final[dict[str, tuple[int, int]]] = {"1h": (3600, 60), "6h": (21_600, 300), "24h": (86_400, 600)}
"""By name: how long, and the step, in seconds."""
_WORKER_STEPS: Final = 5
"""A single worker has few shares a step: its rate is that of so many."""
DEFAULT_SPAN: Final = "1h"
_MOST_WORKERS: Final = 8
_MOST_POOLS: Final = 8
_MOST_REASONS: Final = 5
_REASON_INKS: Final = ("bad", "warning", "4", "6", "8", "muted")


@dataclass(frozen=True, slots=True)
class LiveCharts:
    """`at` is the end of the last step."""

    span: str
    at: int
    pools: Chart
    workers: Chart
    verdicts: Chart


class LiveHistory:
    """Asks for a span's charts once a step, whoever wants them; keeps the last ones while the database is away."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._kept = {
            span: Kept(f"charts of {span}", step, partial(self._ask, span)) for span, (_, step) in SPANS.items()
        }

    async def charts(self, span: str, now: int) -> LiveCharts | None:
        """The charts of whole steps before `now`; None if the database never told."""
        return await self._kept[span].of(now)

    async def soon(self, span: str, now: int) -> LiveCharts | None:
        """What `charts` gives if that takes a moment, else the last ones; the page asks again then."""
        return await self._kept[span].soon(now)

    async def _ask(self, span: str, end: int) -> LiveCharts:
        seconds, step = SPANS[span]
        start = end - seconds
        query = ShareQuery(start, end)
        pools, heat, marks = await asyncio.gather(
            pool_timelines(self._analysis, query, step),
            self._analysis.heat(query, step * _WORKER_STEPS, most=_MOST_WORKERS),
            period_marks(self._analysis, start, end),
        )
        count = (end - start) // step
        return LiveCharts(
            span,
            end,
            Chart(start, step, _pool_traces(pools, count), "H/s", marks=marks),
            Chart(heat.start, heat.step_seconds, _worker_traces(heat), "H/s", marks=marks),
            Chart(start, step, _verdict_traces(pools.values(), count), stacked=True, marks=marks),
        )


def _pool_traces(pools: Mapping[str, Mapping[int, PoolStep]], count: int) -> tuple[Trace, ...]:
    shown = sorted(pools, key=lambda label: -sum(one.hash_rate for one in pools[label].values()))[:_MOST_POOLS]
    # Before the first share nobody was there, which is not a rate of zero.
    return tuple(
        Trace(
            label,
            tuple(
                None
                if number < min(pools[label])
                else pools[label][number].hash_rate
                if number in pools[label]
                else 0.0
                for number in range(count)
            ),
            ink=str(ink),
            kind="area" if len(shown) == 1 else "line",
        )
        for ink, label in enumerate(sorted(shown), start=1)
    )


def _worker_traces(heat: HeatMap) -> tuple[Trace, ...]:
    return tuple(
        Trace(row.worker or "(no name)", _since_first(row.hash_rates), ink=str(ink))
        for ink, row in enumerate(heat.rows, start=1)
    )


def _since_first(values: Iterable[float | None]) -> tuple[float | None, ...]:
    """Gaps before the first value, zeros after it."""
    came: list[float | None] = []
    for value in values:
        came.append(value if value is not None or not any(one is not None for one in came) else 0.0)
    return tuple(came)


def _verdict_traces(pools: Iterable[Mapping[int, PoolStep]], count: int) -> tuple[Trace, ...]:
    """Refused by reason below, accepted on top: the rare ones stand on the axis, where they can be read."""
    pools = list(pools)
    totals: dict[str, int] = {}
    for steps in pools:
        for step in steps.values():
            for reason, number in step.rejected_by_reason.items():
                totals[reason] = totals.get(reason, 0) + number
    reasons = sorted(totals, key=lambda reason: (-totals[reason], reason))
    named, rest = reasons[:_MOST_REASONS], reasons[_MOST_REASONS:]
    groups = [(reason.replace("_", " "), (reason,)) for reason in named] + (
        [("other reasons", tuple(rest))] if rest else []
    )
    began = min((min(steps) for steps in pools if steps), default=count)

    def sums(of: tuple[str, ...]) -> tuple[float | None, ...]:
        return tuple(
            None
            if number < began
            else float(
                sum(steps[number].rejected_by_reason.get(one, 0) for steps in pools if number in steps for one in of)
            )
            for number in range(count)
        )

    accepted = tuple(
        None if number < began else float(sum(steps[number].accepted for steps in pools if number in steps))
        for number in range(count)
    )
    refused = [
        Trace(name, sums(of), ink=ink, kind="bars") for (name, of), ink in zip(groups, _REASON_INKS, strict=False)
    ]
    return (*refused, Trace("accepted", accepted, ink="good", kind="bars")) if began < count else ()
