"""Tells ClickHouse who is connected and that this proxy lives: one writer, at most one write every 2 s.

It never holds up mining: rows are made in portions, a write that hangs is given up, and one that failed leaves nothing
behind but what the next one tells.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog

from services import VERSION
from services.warehouse.client import StoreUnavailable
from services.warehouse.proxy_state import Heartbeat, PoolState, StateWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from services.proxy.loop_lag import LoopLag
    from services.proxy.metrics import Metrics
    from services.proxy.pool import Pool
    from services.proxy.session_book import SessionBook
    from services.proxy.unrecorded import UnrecordedShares
    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.spool import Spool

log = structlog.get_logger()

EVERY_SECONDS: Final = 2.0
_PORTION: Final = 250
_MOST_ENDED: Final = 5_000


class Reporter:
    """``run`` reports until it is cancelled; ``pools`` gives each pool and how many miners it has now."""

    def __init__(
        self,
        proxy: str,
        address: ClickHouseAddress,
        book: SessionBook,
        unrecorded: UnrecordedShares,
        spool: Spool,
        lag: LoopLag,
        metrics: Metrics,
        pools: Callable[[], Iterable[tuple[Pool, int]]],
    ) -> None:
        self._proxy = proxy
        self._book = book
        self._unrecorded = unrecorded
        self._spool = spool
        self._lag = lag
        self._metrics = metrics
        self._pools = pools
        self._writer = StateWriter(address)
        self._started_ms = time.time_ns() // 1_000_000
        self._is_away = False

    async def run(self) -> None:
        """Reports until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self.report()
            await asyncio.sleep(max(EVERY_SECONDS - (loop.time() - began), EVERY_SECONDS / 4))

    async def report(self, *, stopped: bool = False) -> bool:
        """Writes what changed, and a heartbeat; False where ClickHouse did not take it."""
        try:
            told = []
            entries = self._book.entries()
            for at in range(0, len(entries), _PORTION):
                told += self._book.due(entries[at : at + _PORTION])
                await asyncio.sleep(0)
            ended = self._book.ended()[:_MOST_ENDED]
            rows = [row for _, row in told] + ended
            lost = self._unrecorded.due()
            await self._writer.write(rows, self._heartbeat(stopped=stopped), lost)
        except StoreUnavailable as error:
            self._failed(str(error))
            return False
        except Exception as error:
            # Not foreseen; telling of mining must not end for good because of it.
            log.exception("report_failed")
            self._failed(str(error))
            return False
        self._book.took(told, ended)
        self._unrecorded.took(lost)
        if self._is_away:
            self._is_away = False
            log.info("reporting_again")
        return True

    async def close(self) -> None:
        """Tells, once, that the proxy has stopped, if ClickHouse was there last; then lets go of it."""
        try:
            if not self._is_away:
                await self.report(stopped=True)
        finally:
            await self._writer.close()

    def _failed(self, error: str) -> None:
        self._metrics.reports_failed.inc()
        if not self._is_away:
            self._is_away = True
            log.warning("reporting_failed", error=error)

    def _heartbeat(self, *, stopped: bool) -> Heartbeat:
        spool = self._spool
        pools = tuple(_state(pool, miners) for pool, miners in self._pools())
        return Heartbeat(
            ts_ms=time.time_ns() // 1_000_000,
            proxy=self._proxy,
            instance=str(spool.segment),
            started_ms=self._started_ms,
            stopped=stopped,
            version=VERSION,
            miners=sum(pool.miners for pool in pools),
            spool_rows=spool.depth_rows,
            spool_bytes=spool.depth_bytes,
            spool_oldest_age_seconds=spool.oldest_age_seconds,
            spool_recording=spool.is_recording,
            unrecorded_shares=spool.unrecorded_shares,
            loop_lag_seconds=self._lag.worst(),
            pools=pools,
        )


def _state(pool: Pool, miners: int) -> PoolState:
    ages = [upstream.age_seconds for upstream in pool.upstreams if upstream.is_alive]
    ready = len(ages)
    state = "ready" if ready else "away" if miners else "idle"
    return PoolState(
        pool_label=pool.name,
        pool=pool.route.endpoint.address,
        state=state,
        miners=miners,
        upstreams=ready,
        latency_seconds=pool.latency.seconds(asyncio.get_running_loop().time()),
        connected_ms=time.time_ns() // 1_000_000 - int(max(ages) * 1000) if ages else 0,
    )
