"""One configured pool and what all of its miners share."""

from __future__ import annotations

from itertools import count
from secrets import randbits
from typing import TYPE_CHECKING

from services.stratum.extranonce import MINER_EXTRANONCE1_BYTES
from services.stratum.seen import SeenHeaders

if TYPE_CHECKING:
    from services.proxy.gate import Gate
    from services.proxy.metrics import PoolMetrics
    from services.proxy.options import PoolOptions, ProxyOptions
    from services.proxy.recorder import Recorder
    from services.proxy.session_book import SessionBook
    from services.proxy.upstream import Upstream

WORKER_FIELD = "{worker}"


class Pool:
    """Configuration, counters, and the memory of headers that outlives any connection."""

    def __init__(
        self,
        pool: PoolOptions,
        proxy: ProxyOptions,
        recorder: Recorder,
        metrics: PoolMetrics,
        gate: Gate,
        sessions: SessionBook,
    ) -> None:
        self.options = pool
        self.proxy = proxy
        self.limits = proxy.limits
        self.recorder = recorder
        self.metrics = metrics
        self.gate = gate
        self.sessions = sessions
        self.seen = SeenHeaders()
        self.upstreams: set[Upstream] = set()
        """Every connection to the pool that is not closed, also those that only wait for last verdicts."""
        self.per_worker_users = WORKER_FIELD in pool.user
        self._upstream_numbers = count(randbits(64))
        self._miner_numbers = count(randbits(8 * MINER_EXTRANONCE1_BYTES))

    def upstream_number(self) -> int:
        """Numbers an upstream connection: its low bytes fill what the pool's extranonce2 has to spare."""
        return next(self._upstream_numbers)

    def miner_extranonce1(self) -> bytes:
        """An extranonce1 for a new miner."""
        number = next(self._miner_numbers) % (1 << 8 * MINER_EXTRANONCE1_BYTES)
        return number.to_bytes(MINER_EXTRANONCE1_BYTES, "big")

    def user_for(self, worker: str) -> str:
        """The name under which a worker's shares go up."""
        if not self.per_worker_users:
            return self.options.user
        return self.options.user.replace(WORKER_FIELD, worker.rpartition(".")[2] or worker)
