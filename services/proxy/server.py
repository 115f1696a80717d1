"""The proxy's life: what is opened in which order, and how it stops without losing a share."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from services.proxy.gate import Gate
from services.proxy.listener import Listener
from services.proxy.metrics import Metrics, PoolMetrics
from services.proxy.pool import Pool
from services.proxy.probes import Probes
from services.proxy.recorder import Recorder
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from prometheus_client import CollectorRegistry

    from services.proxy.options import ProxyOptions

log = structlog.get_logger()


class Proxy:
    """``async with`` starts and stops it; a stop takes at most ``2 * drain_seconds`` and a little."""

    def __init__(self, options: ProxyOptions) -> None:
        self._options = options
        self.listeners: dict[str, Listener] = {}
        self.probes: Probes
        self.spool: Spool
        self.registry: CollectorRegistry

    async def __aenter__(self) -> Proxy:
        """Raises OSError, in one sentence, for a folder or a port that cannot be used."""
        options = self._options
        self.spool = spool = Spool.open(options.spool, max_bytes=options.spool_max_bytes)
        self._shipper = Shipper(options.spool, spool, options.clickhouse)
        self._shipping = asyncio.create_task(self._shipper.run())
        metrics, recorder = Metrics(), Recorder(spool)
        self.registry = metrics.registry
        gate = Gate(options.limits, metrics.registry)
        metrics.watch_spool(spool, self._shipper)
        self.probes = Probes(metrics.registry, spool)
        try:
            await self.probes.open(options.metrics_host, options.metrics_port)
            for pool in options.pools:
                listener = Listener(Pool(pool, options, recorder, PoolMetrics(metrics, pool.name), gate), options.host)
                await listener.open()
                self.listeners[pool.name] = listener
                log.info("listening", pool_label=pool.name, pool=pool.address, host=options.host, port=listener.port)
        except BaseException:
            await self._stop()
            raise
        self.probes.ready = True
        return self

    async def __aexit__(self, *_: object) -> None:
        log.info("proxy_stopping")
        emptied = await self._stop()
        log.info("proxy_stopped", spool_emptied=emptied)

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
        await self.spool.close()
        self._shipping.cancel()
        with suppress(asyncio.CancelledError):
            await self._shipping
        emptied = await self._shipper.drain(deadline_seconds)
        await self.probes.close()
        return emptied


async def serve(options: ProxyOptions) -> None:
    """Runs a proxy until the task is cancelled; then stops it in order, within 10 s.

    Raises OSError, in one sentence, for a folder or a port that cannot be used. Fastest on uvloop.
    """
    async with Proxy(options):
        await asyncio.Event().wait()


async def _at_most(seconds: float, waits: Iterable[Coroutine[Any, Any, None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*waits)
