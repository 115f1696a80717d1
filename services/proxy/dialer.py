"""Keeps a pool connection behind a miner: dials, and dials again, with a growing pause and jitter."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.upstream import Upstream

if TYPE_CHECKING:
    from services.proxy.pool import Pool
    from services.proxy.upstream import UpstreamListener
    from services.proxy.work import Work

log = structlog.get_logger()

CONNECT_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 30.0
_LONGEST_PAUSE_ASKED_SECONDS: Final = 60.0
_QUIET_FAILURES: Final = 3
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class Dialer:
    """Holds at most one upstream for its listener, from ``start`` to ``stop``."""

    def __init__(self, pool: Pool, listener: UpstreamListener) -> None:
        self.upstream: Upstream | None = None
        """The one that is alive, or None."""
        self._pool = pool
        self._listener = listener
        self._handshaking: Upstream | None = None
        self._failures = 0
        self._dialling: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Dials, unless that was asked before."""
        if self._dialling is None and self.upstream is None and not self._stopped:
            self._dialling = asyncio.create_task(self._dial(0.0))

    def stop(self) -> None:
        """Dials no more. An upstream with shares under way closes by itself, once the last verdict is in."""
        self._stopped = True
        if self._dialling is not None:
            self._dialling.cancel()
        for upstream in (self._handshaking, self.upstream):
            if upstream is not None:
                upstream.retire()

    # UpstreamListener: the dialer stands between, to know what to dial next

    def upstream_ready(self, upstream: Upstream) -> None:
        self.upstream, self._handshaking = upstream, None
        self._failures = 0
        log.info("upstream_connected", **self._facts())
        self._listener.upstream_ready(upstream)

    def upstream_changed(self, upstream: Upstream) -> None:
        self._listener.upstream_changed(upstream)

    def job_received(self, work: Work) -> None:
        self._listener.job_received(work)

    def upstream_lost(self, upstream: Upstream, why: str, pause_seconds: float) -> None:
        was_ready = self.upstream is upstream
        self.upstream = self._handshaking = None
        self._failed(why)
        if was_ready:
            self._listener.upstream_lost(upstream, why, pause_seconds)
        if not self._stopped:
            pause = min(pause_seconds, _LONGEST_PAUSE_ASKED_SECONDS) + self._pause()
            self._dialling = asyncio.create_task(self._dial(pause))

    async def _dial(self, pause_seconds: float) -> None:
        """Until a connection stands; from then on upstream_lost decides."""
        pool = self._pool.options
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    transport, _ = await loop.create_connection(self._new_upstream, pool.host, pool.port)
            except (OSError, TimeoutError, UnicodeError) as error:
                self._failed(f"cannot connect: {error or 'timeout'}")
                pause_seconds = self._pause()
                continue
            keep_alive(transport.get_extra_info("socket"))
            return

    def _new_upstream(self) -> Upstream:
        self._handshaking = Upstream(self._pool, self)
        return self._handshaking

    def _failed(self, why: str) -> None:
        self._failures += 1
        self._pool.metrics.upstreams_lost.inc()
        # A pool that stays away is told of now and then, not at every miner's every try.
        if self._failures <= _QUIET_FAILURES or self._failures & (self._failures - 1) == 0:
            log.warning("upstream_lost", why=why, failures=self._failures, **self._facts())

    def _pause(self) -> float:
        longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 20), LONGEST_PAUSE_SECONDS)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, so that miners do not return as one

    def _facts(self) -> dict[str, str]:
        pool = self._pool.options
        return {"pool_label": pool.name, "pool": pool.address}


def keep_alive(connection: socket.socket) -> None:
    """Finds peers that vanished without a word, within two minutes; small writes are not held back."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _KEEPALIVE:
        if (option := getattr(socket, name, None)) is not None:  # not every system has them all
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
