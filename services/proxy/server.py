"""The proxy's life: what is opened in which order, and how it stops without losing a share."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from services.proxy.certificate import Certificate
from services.proxy.gate import Gate
from services.proxy.listener import Listener
from services.proxy.loop_lag import LoopLag
from services.proxy.metrics import Metrics, PoolMetrics
from services.proxy.pool import Pool
from services.proxy.probes import Probes
from services.proxy.recorder import Recorder
from services.proxy.reporter import Reporter
from services.proxy.session_book import SessionBook
from services.proxy.spool_metrics import SpoolMetrics
from services.proxy.unrecorded import UnrecordedShares
from services.stratum.header import compile_merkle_root
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from prometheus_client import CollectorRegistry

    from services.proxy.options import ProxyOptions

log = structlog.get_logger()

_FAREWELL_SECONDS: Final = 1.0
_ALLOCATIONS_BETWEEN_COLLECTIONS: Final = 50_000
"""Python's 700 cost 4 % of the proxy's time under load."""


class Proxy:
    """``async with`` starts and stops it; a stop takes at most ``2 * drain_seconds`` and a little."""

    def __init__(self, options: ProxyOptions) -> None:
        self._options = options
        self.listeners: dict[str, Listener] = {}
        self.probes: Probes
        self.spool: Spool
        self.registry: CollectorRegistry
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Proxy:
        """Raises OSError, in one sentence, for a folder or a port that cannot be used."""
        options = self._options
        self.spool = spool = Spool.open(options.spool, max_bytes=options.spool_max_bytes)
        self._shipper = Shipper(options.spool, spool, options.clickhouse)
        self._shipping = asyncio.create_task(self._shipper.run())
        metrics = Metrics()
        unrecorded = UnrecordedShares(options.name, str(spool.segment))
        recorder = Recorder(spool, unrecorded)
        self.registry = metrics.registry
        gate = Gate(options.limits, metrics.registry)
        sessions = SessionBook(options.name, str(spool.segment))
        metrics.registry.register(SpoolMetrics(spool, self._shipper, sessions))
        self._lag = LoopLag(metrics.loop_lag.observe)
        self._reporter = Reporter(
            options.name, options.clickhouse, sessions, unrecorded, spool, self._lag, metrics, self._pools_and_miners
        )
        self._reporting = asyncio.create_task(self._reporter.run())
        self.probes = Probes(metrics.registry, spool)
        try:
            certificate = self._certificate(metrics)
            await self.probes.open(options.metrics_host, options.metrics_port, options.probes)
            for pool in options.pools:
                pool_metrics = PoolMetrics(metrics, pool.name)
                listener = Listener(
                    Pool(pool, options, recorder, pool_metrics, gate, sessions), options.host, certificate
                )
                await listener.open()
                self.listeners[pool.name] = listener
                facts = {"host": options.host, "port": listener.port, "tls_port": listener.tls_port}
                log.info("listening", pool_label=pool.name, pool=listener.pool.route.endpoint.address, **facts)
        except BaseException:
            await self._stop()
            raise
        self.probes.ready = True
        return self

    async def __aexit__(self, *_: object) -> None:
        log.info("proxy_stopping")
        emptied = await self._stop()
        log.info("proxy_stopped", spool_emptied=emptied)

    def _certificate(self, metrics: Metrics) -> Certificate | None:
        if self._options.tls is None:
            return None
        certificate = Certificate(self._options.tls, metrics.certificate_reloaded)
        self._watching = asyncio.create_task(certificate.watch())
        return certificate

    def _pools_and_miners(self) -> list[tuple[Pool, int]]:
        return [(listener.pool, len(listener.connections)) for listener in self.listeners.values()]

    async def _stop(self) -> bool:
        """No new connections, replies in flight answered, shares on disk, then in ClickHouse: True if all are there.

        What ClickHouse does not take in time stays in the spool, for the next process.
        """
        self.probes.ready = False
        deadline_seconds = self._options.drain_seconds
        listeners = self.listeners.values()
        for listener in listeners:
            listener.refuse()
        await _at_most(deadline_seconds, [listener.settle() for listener in listeners])
        for listener in listeners:
            listener.hang_up()
        # Verdicts that came last are still on their way to the disk.
        await _at_most(1.0, [listener.settle() for listener in listeners])
        await asyncio.gather(*(listener.close() for listener in listeners))
        if self._watching is not None:
            self._watching.cancel()
        self._lag.stop()
        await self.spool.close()
        for task in (self._shipping, self._reporting):
            await _end(task)
        farewell = _at_most(_FAREWELL_SECONDS, [self._reporter.close()])
        try:
            emptied, _ = await asyncio.gather(self._shipper.drain(deadline_seconds), farewell)
        finally:
            await self.probes.close()
        if self._shipper.left_rows:
            log.warning(
                "rows_stay_in_spool",
                rows=self._shipper.left_rows,
                folder=str(self._options.spool),
                reason=self._shipper.last_error or "there was no time to ship them all",
                remedy="none needed: the next start ships them",
            )
        return emptied


async def serve(options: ProxyOptions) -> None:
    """Runs a proxy until the task is cancelled; then stops it in order, within 10 s.

    Raises OSError, in one sentence, for a folder or a port that cannot be used. Fastest on uvloop.
    """
    log.info("merkle_roots", compiled=compile_merkle_root())
    async with Proxy(options):
        # What lives now lives as long as the process; shares in flight make no cycles, and are many.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS)
        await asyncio.Event().wait()


async def _end(task: asyncio.Task[None]) -> None:
    """Ends a task; whatever it died of is told, and holds up no stop."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task_failed", task=task.get_name(), exc_info=error)


async def _at_most(seconds: float, waits: Iterable[Coroutine[Any, Any, None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*waits)
