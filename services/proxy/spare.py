"""One handshake ahead of the miners, so that the next one is served at once."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from services.proxy.dialing import DialError, dial

if TYPE_CHECKING:
    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.pool import Pool
    from services.proxy.upstream import Upstream
    from services.proxy.upstream_listener import Loss
    from services.proxy.work import Work

log = structlog.get_logger()


class Spare:
    """Holds at most one upstream that no miner uses yet; what befalls it says nothing about the pool.

    There is none before the first miner has a connection of its own: health checks and port scanners open nothing.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._upstream: Upstream | None = None
        self._filling: asyncio.Task[None] | None = None
        self._stopped = False

    def take(self, endpoint: PoolEndpoint) -> Upstream | None:
        """The spare, if it leads there and the pool was heard on it of late. Who takes it sets its ``listener``."""
        upstream = self._upstream
        if upstream is None or upstream.endpoint != endpoint:
            return None
        self._upstream = None
        if upstream.was_heard_within(2 * self._pool.proxy.patience.silent_seconds):
            return upstream
        upstream.retire()
        return None

    def fill(self, pause_seconds: float = 0.0) -> None:
        """Sees to it that there is one; for the time when a miner has just got a connection."""
        if self._upstream is None and self._filling is None and not self._stopped and self._pool.proxy.keeps_spare:
            self._filling = asyncio.create_task(self._fill(pause_seconds))

    def follow(self) -> None:
        """Moves where the pool's route leads now."""
        if self._upstream is not None and self._upstream.endpoint != self._pool.route.endpoint:
            self._upstream.retire()
            self._upstream = None
            self.fill()

    def stop(self) -> None:
        """Keeps none any more."""
        self._stopped = True
        if self._filling is not None:
            self._filling.cancel()
        if self._upstream is not None:
            self._upstream.retire()

    async def _fill(self, pause_seconds: float) -> None:
        try:
            await asyncio.sleep(pause_seconds)
            # Without miners the pool is left alone.
            while self._upstream is None and self._pool.dialers:
                endpoint = self._pool.route.endpoint
                try:
                    upstream = await dial(self._pool, endpoint, endpoint.users_for(()))
                except DialError as error:
                    log.debug("spare_failed", pool_label=self._pool.name, pool=endpoint.address, why=error.loss.why)
                    await asyncio.sleep(error.loss.pause_seconds + self._pause())
                    continue
                upstream.listener = self
                self._upstream = upstream
        finally:
            self._filling = None
        self.follow()

    def _pause(self) -> float:
        return self._pool.proxy.patience.longest_pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    # UpstreamListener

    def upstream_ready(self, upstream: Upstream) -> None:
        """It was ready when it came here."""

    def upstream_changed(self, upstream: Upstream) -> None:
        """Who takes it reads it there."""

    def job_received(self, work: Work) -> None:
        """The upstream keeps it."""

    def upstream_lost(self, upstream: Upstream, loss: Loss) -> None:
        if upstream is self._upstream:
            self._upstream = None
            log.debug("spare_lost", pool_label=self._pool.name, pool=upstream.endpoint.address, why=loss.why)
            self.fill(loss.pause_seconds + self._pause())
