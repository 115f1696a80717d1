"""The proxy's life: what is opened in which order, and how it stops without losing a share."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from services.proxy.certificate import Certificate
from services.proxy.gate import Gate
from services.proxy.listener import Listener, reserve
from services.proxy.loop_lag import LoopLag
from services.proxy.metrics import Metrics, PoolMetrics
from services.proxy.pool import Pool
from services.proxy.probes import Probes
from services.proxy.recorder import Recorder
from services.proxy.reloader import Reloader
from services.proxy.reporter import Reporter
from services.proxy.revision_follower import RevisionFollower
from services.proxy.session_book import SessionBook
from services.proxy.spool_metrics import SpoolMetrics
from services.proxy.unrecorded import UnrecordedShares
from services.stratum.header import compile_merkle_root
from services.warehouse.shipper import Shipper
from services.warehouse.spool import GATHER_SECONDS, Spool

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from prometheus_client import CollectorRegistry

    from services.proxy.options import PoolOptions, ProxyOptions
    from services.proxy.reloading import Reloading

log = structlog.get_logger()

_FAREWELL_SECONDS: Final = 1.0
_MOST_GATHERING: Final = 2
"""Processes of one machine that share its shares commit them less often each, as far as miners can wait for that."""
_ALLOCATIONS_BETWEEN_COLLECTIONS: Final = 10_000
"""Python's 700 cost 4 % of the proxy's time under load."""
_COLLECTIONS_BETWEEN_OLDER: Final = (5, 2)
"""So that what thousands of closed connections leave is freed before as many again have come, not after ten times."""


class Proxy:
    """``async with`` starts and stops it; a stop takes at most ``2 * drain_seconds`` and a little.

    With ``reloading`` it goes over to a new configuration whenever that is asked for, there or by the API.
    """

    def __init__(self, options: ProxyOptions, reloading: Reloading | None = None) -> None:
        self._options = options
        self._reloading = reloading
        self.reloader: Reloader | None = None
        self._follower: RevisionFollower | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.listeners: dict[str, Listener] = {}
        self.probes: Probes
        self.spool: Spool
        self.registry: CollectorRegistry
        self._certificate: Certificate | None = None

    async def __aenter__(self) -> Proxy:
        """Raises OSError, in one sentence, for a folder or a port that cannot be used."""
        options = self._options
        gather_seconds = GATHER_SECONDS * min(options.workers, _MOST_GATHERING)
        self._metrics = metrics = Metrics()
        self.spool = spool = Spool.open(
            options.spool,
            max_bytes=options.spool_max_bytes,
            gather_seconds=gather_seconds,
            on_commit=metrics.commit_seconds.observe,
        )
        self._shipper = Shipper(options.spool, spool, options.clickhouse)
        instance = str(spool.segment)
        unrecorded, sessions = UnrecordedShares(options.name, instance), SessionBook(options.name, instance)
        self._recorder, self._sessions = Recorder(spool, unrecorded), sessions
        self.registry = registry = metrics.registry
        self._gate = Gate(options.limits, registry)
        registry.register(SpoolMetrics(spool, self._shipper, sessions))
        self._lag = LoopLag(metrics.loop_lag.observe)
        self._reporter = Reporter(
            options.name,
            options.clickhouse.everywhere,
            sessions,
            unrecorded,
            spool,
            self._lag,
            metrics,
            self._pools_and_miners,
        )
        self._begin(self._shipper.run(), self._reporter.run())
        self.probes = Probes(registry, spool)
        try:
            if options.tls is not None:
                self._certificate = Certificate(options.tls, self._metrics.certificate_reloaded)
                self._begin(self._certificate.watch())
            await self.probes.open(options.metrics_host, options.metrics_port, options.probes)
            for pool in options.pools:
                reserved = reserve(options, pool.name, pool.ports)
                self.listeners[pool.name] = listener = self._listener(pool, options)
                await listener.open(reserved)
            if self._reloading is not None:
                self._follow(self._reloading)
        except BaseException:
            await self._stop()
            raise
        self.probes.ready = True
        return self

    async def __aexit__(self, *_: object) -> None:
        log.info("proxy_stopping")
        emptied = await self._stop()
        log.info("proxy_stopped", spool_emptied=emptied)

    def _begin(self, *works: Coroutine[Any, Any, None]) -> None:
        self._tasks += [asyncio.create_task(work) for work in works]

    def _listener(self, pool: PoolOptions, options: ProxyOptions) -> Listener:
        metrics = PoolMetrics(self._metrics, pool.name)
        shared = Pool(pool, options, self._recorder, metrics, self._gate, self._sessions)
        return Listener(shared, options.host, self._certificate)

    def _follow(self, reloading: Reloading) -> None:
        options, instance = self._options, str(self.spool.segment)
        self.reloader = Reloader(options, reloading, self.listeners, self._listener, self._gate, self._metrics)
        self._follower = RevisionFollower(options.name, instance, options.clickhouse.everywhere, self.reloader.reload)
        self._begin(self.reloader.run(self._follower.tell), self._follower.run())

    def _pools_and_miners(self) -> list[tuple[Pool, int]]:
        return [(listener.pool, len(listener.connections)) for listener in self.listeners.values()]

    async def _stop(self) -> bool:
        """No new connections, replies in flight answered, shares on disk, then in ClickHouse: True if all are there.

        What ClickHouse does not take in time stays in the spool, for the next process.
        """
        self.probes.ready = False
        deadline_seconds = self._options.drain_seconds
        parted_with = await self.reloader.stop() if self.reloader is not None else []
        listeners = [*self.listeners.values(), *parted_with]
        for listener in listeners:
            listener.refuse()
        await _at_most(deadline_seconds, [listener.settle() for listener in listeners])
        for listener in listeners:
            listener.hang_up()
        # Verdicts that came last are still on their way to the disk.
        await _at_most(1.0, [listener.settle() for listener in listeners])
        await asyncio.gather(*(listener.close() for listener in listeners))
        self._lag.stop()
        await self.spool.close()
        for task in self._tasks:
            await _end(task)
        told = [self._reporter.close(), *([self._follower.close()] if self._follower is not None else [])]
        farewell = _at_most(_FAREWELL_SECONDS, told)
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


async def serve(options: ProxyOptions, reloading: Reloading | None = None) -> None:
    """Runs a proxy until the task is cancelled; then stops it in order, within 10 s.

    Raises OSError, in one sentence, for a folder or a port that cannot be used. Fastest on uvloop.
    """
    log.info("merkle_roots", compiled=compile_merkle_root())
    async with Proxy(options, reloading):
        # What lives now lives as long as the process; shares in flight make no cycles, and are many.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS, *_COLLECTIONS_BETWEEN_OLDER)
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
