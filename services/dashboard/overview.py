"""The live page's content: figures from the database, made into a view; the last ones while it is away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from services.dashboard.miners import Miner, grouped
from services.dashboard.tiles import tile_cells
from services.dashboard.verdict import verdict
from services.dashboard.view import Cell, Row, Series, View
from services.warehouse.queries import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.dashboard.options import DashboardOptions
    from services.warehouse.queries import HashRateSeries, Queries

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Figures:
    """What one look into the database gave, and when (unix seconds)."""

    at: int
    miners: tuple[Miner, ...]
    chart: Series


class Overview:
    """Looks into the database and makes the page's view; keeps the last figures for when the database is away."""

    def __init__(self, queries: Queries, options: DashboardOptions, clock: Callable[[], float] = time.time) -> None:
        self._queries = queries
        self._options = options
        self._clock = clock
        self._figures: Figures | None = None
        self._away_since: float | None = None

    async def look(self) -> View:
        """The view of now. Never raises for a database that is away: the view says so then."""
        now = self._clock()
        try:
            self._figures = await self._read(int(now))
        except StoreUnavailable as error:
            if self._away_since is None:
                log.warning("database_away", reason=str(error))
                self._away_since = now
        else:
            if self._away_since is not None:
                log.info("database_back", away_seconds=round(now - self._away_since))
            self._away_since = None
        return self._view(now)

    async def _read(self, now: int) -> Figures:
        miners = grouped(await self._queries.miners(now))
        chart = self._figures.chart if self._figures else None
        # The chart gains a point a minute; asking for it more often would be a query for nothing.
        if chart is None or now >= chart.start + (len(chart.values) + 1) * chart.step:
            chart = _with_gaps(await self._queries.hash_rate_series(now))
        return Figures(now, miners, chart)

    def _view(self, now: float) -> View:
        figures = self._figures
        miners = figures.miners if figures else ()
        at = figures.at if figures else None
        said = verdict(miners, at, self._away_since, self._options.clickhouse)
        cells = {"sentence": Cell(said.sentence), "advice": Cell(said.advice)} | tile_cells(miners, at)
        rows: dict[str, Row] = {miner.key: miner.row(at) for miner in miners} if at is not None else {}
        title = f"{cells['hash_rate'].text if said.state == 'good' else said.sentence} · Sharehouse"
        interval = self._options.interval_seconds
        return View(now, interval, said.state, title, cells, rows, figures.chart if figures else None)


def _with_gaps(series: HashRateSeries) -> Series:
    """The minutes before the hour's first share become gaps: nobody was there, which is not a rate of zero."""
    first = next((index for index, value in enumerate(series.values) if value), len(series.values))
    values = tuple(None if index < first else value for index, value in enumerate(series.values))
    return Series(series.start, series.step_seconds, values)
