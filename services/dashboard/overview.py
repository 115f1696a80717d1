"""The live page's content: figures from the database, made into a view; the last ones while it is away."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from services.dashboard.charts import Chart, Trace
from services.dashboard.figures import Figures
from services.dashboard.miners import grouped
from services.dashboard.tiles import tile_cells
from services.dashboard.verdict import Outage, outage_verdict, verdict
from services.dashboard.view import Cell, View
from services.warehouse.queries import MinerTotals, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.dashboard.options import DashboardOptions
    from services.warehouse.queries import HashRateSeries, Queries

log = structlog.get_logger()


class Overview:
    """Looks into the database and makes the page's view; keeps the last figures for when the database is away."""

    def __init__(self, queries: Queries, options: DashboardOptions, clock: Callable[[], float] = time.time) -> None:
        self._queries = queries
        self._options = options
        self._clock = clock
        self._figures: Figures | None = None
        self._outage: Outage | None = None

    async def look(self) -> View:
        """The view of now. Never raises for a database that gives no answer: the view says so then."""
        now = self._clock()
        try:
            self._figures = await self._read(int(now))
        except StoreUnavailable as error:
            before = self._outage
            self._outage = Outage(before.since if before else now, error.trouble, error.code, error.reason)
            if before != self._outage:
                log.warning("database_failed", trouble=error.trouble, code=error.code, reason=str(error))
        else:
            if self._outage is not None:
                log.info("database_back", away_seconds=round(now - self._outage.since))
            self._outage = None
        return self._view(now)

    async def _read(self, now: int) -> Figures:
        rows, sessions, proxies = await asyncio.gather(
            self._queries.miners(now), self._queries.sessions(now), self._queries.proxies(now)
        )
        chart = self._figures.chart if self._figures else None
        # The chart gains a point a minute; asking for it more often would be a query for nothing.
        if chart is None or now >= chart.start + (chart.steps + 1) * chart.step:
            chart = _with_gaps(await self._queries.hash_rate_series(now))
        # One that ended in this very second is still told of.
        lasting = [session for session in sessions if session.disconnected is None]
        return Figures(now, grouped(rows, lasting), len(lasting), tuple(proxies), MinerTotals.of(rows), chart)

    def _view(self, now: float) -> View:
        figures = self._figures
        said = outage_verdict(self._outage, figures, self._options.clickhouse) if self._outage else verdict(figures)
        cells = {"sentence": Cell(said.sentence), "advice": Cell(said.advice), "link": Cell(said.link)}
        cells |= tile_cells(figures)
        rows = {miner.key: miner.row(figures.at) for miner in figures.miners} if figures is not None else {}
        title = f"{cells['hash_rate'].text if said.state == 'good' else said.sentence} · Sharehouse"
        interval = self._options.interval_seconds
        return View(now, interval, said.state, title, cells, rows, figures.chart if figures else None)


def _with_gaps(series: HashRateSeries) -> Chart:
    """The minutes before the hour's first share become gaps: nobody was there, which is not a rate of zero."""
    first = next((index for index, value in enumerate(series.values) if value), len(series.values))
    values = tuple(None if index < first else value for index, value in enumerate(series.values))
    return Chart(series.start, series.step_seconds, (Trace("All pools", values, kind="area"),), "H/s")
