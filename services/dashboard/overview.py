"""The live page's content: figures from the database, made into a view; the last ones while it is away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from services.dashboard.figures import Figures
from services.dashboard.miners import grouped
from services.dashboard.pool_cards import pool_cells, pool_labels
from services.dashboard.tiles import tile_cells
from services.dashboard.verdict import Outage, outage_verdict, verdict
from services.dashboard.view import Cell, View
from services.dashboard.yesterday import delta_cells
from services.warehouse.queries import MinerTotals, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.dashboard.options import DashboardOptions
    from services.warehouse.day_history import DaySums
    from services.warehouse.queries import Queries

log = structlog.get_logger()

CHARTS_EVERY_SECONDS = 60
_CHARTS_SETTLED_SECONDS = 5


class Overview:
    """Looks into the database and makes the page's view; keeps the last figures for when the database is away.

    `before` gives the figures of the day before a moment, or None while they are not known, and never waits.
    """

    def __init__(
        self,
        queries: Queries,
        options: DashboardOptions,
        before: Callable[[int], DaySums | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queries = queries
        self._options = options
        self._before = before
        self._clock = clock
        self._deltas = delta_cells(None, None)
        self._figures: Figures | None = None
        self._outage: Outage | None = None

    @property
    def present(self) -> Figures | None:
        """What the last look gave; None if it gave nothing."""
        return None if self._outage else self._figures

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
            self._deltas = delta_cells(self._figures, self._before(int(now)))
        return self._view(now)

    async def _read(self, now: int) -> Figures:
        live = await self._queries.live(now)
        # One that ended in this very second is still told of.
        lasting = tuple(session for session in live.sessions if session.disconnected is None)
        miners = grouped(live.miners, lasting, now)
        return Figures(now, miners, lasting, live.proxies, MinerTotals.of(live.miners))

    def _view(self, now: float) -> View:
        figures, endpoints = self._figures, self._options.stratum
        said = outage_verdict(self._outage, figures, self._options.clickhouse) if self._outage else verdict(figures)
        cells = {"sentence": Cell(said.sentence), "advice": Cell(said.advice), "link": Cell(said.link)}
        cells |= tile_cells(figures) | self._deltas | pool_cells(endpoints, figures)
        miners = {miner.key: miner for miner in figures.miners} if figures is not None else {}
        title = f"{cells['hash_rate'].text if said.state == 'good' else said.sentence} · Sharehouse"
        charts_at = (int(now) - _CHARTS_SETTLED_SECONDS) // CHARTS_EVERY_SECONDS * CHARTS_EVERY_SECONDS
        return View(
            now,
            self._options.interval_seconds,
            said.state,
            title,
            cells,
            pool_labels(endpoints, figures),
            miners,
            charts_at if figures is not None else 0,
        )
