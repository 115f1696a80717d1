"""One configured pool and what all of its miners share."""

from __future__ import annotations

import asyncio
from itertools import count
from secrets import randbits
from typing import TYPE_CHECKING

import structlog

from services.proxy.deadlines import Deadlines
from services.proxy.difficulty_policy import DedicatedDifficulty, SharedDifficulty
from services.proxy.lines import Lines
from services.proxy.outbox import Outbox
from services.proxy.pool_latency import PoolLatency
from services.proxy.prober import Prober
from services.proxy.route import Route, RouteChange
from services.proxy.spare import Spare
from services.stratum.seen import SeenHeaders

if TYPE_CHECKING:
    from services.proxy.dialer import Dialer
    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.gate import Gate
    from services.proxy.metrics import PoolMetrics
    from services.proxy.options import PoolOptions, ProxyOptions
    from services.proxy.recorder import Recorder
    from services.proxy.session_book import SessionBook
    from services.proxy.upstream import Upstream

log = structlog.get_logger()


def own_numbers(worker: int, workers: int) -> count[int]:
    """Numbers, from a random one on, whose low bytes no other of ``workers`` processes ever uses, however few bytes."""
    step = 1 << (workers - 1).bit_length()
    return count(randbits(64) // step * step + worker, step)


class Pool:
    """Configuration, the address in use, counters, and the memory of headers that outlives any connection."""

    def __init__(
        self,
        pool: PoolOptions,
        proxy: ProxyOptions,
        recorder: Recorder,
        metrics: PoolMetrics,
        gate: Gate,
        sessions: SessionBook,
    ) -> None:
        self.name = pool.name
        self.options = pool
        self.proxy = proxy
        self.limits = proxy.limits
        self.recorder = recorder
        self.metrics = metrics
        self.latency = PoolLatency()
        self.gate = gate
        self.sessions = sessions
        self.seen = SeenHeaders()
        self.deadlines = Deadlines()
        self.outbox = Outbox()
        self.clock = asyncio.get_running_loop().time
        """Monotonic seconds: one bound method for all miners."""
        self.upstreams: set[Upstream] = set()
        """Every connection to the pool that is not closed, also those that only wait for last verdicts."""
        self.dialers: set[Dialer] = set()
        """Those that hold or seek a connection."""
        self.route = Route(pool.endpoints, self._route_changed)
        self.spare = Spare(self)
        self._prober = Prober(self)
        self._upstream_numbers = own_numbers(proxy.worker, proxy.workers)
        self.miner_numbers = own_numbers(proxy.worker, proxy.workers)
        """Candidates for the extranonce1 of new miners: what was given back comes round again late."""
        self.lines = Lines(self)
        metrics.uses(self.route.endpoint.address)

    def upstream_number(self) -> int:
        """Numbers an upstream connection: its low bytes fill what the pool's extranonce2 has to spare."""
        return next(self._upstream_numbers)

    @property
    def is_shared(self) -> bool:
        """Whether many miners work on one upstream; holds for miners that connect from now on."""
        return self.options.mode == "shared"

    def difficulty(self, now: float) -> DedicatedDifficulty:
        """Who decides on a new miner's difficulty; ``now`` is monotonic seconds."""
        return SharedDifficulty(self.options.vardiff, now) if self.is_shared else DedicatedDifficulty()

    def is_served_by(self, endpoint: PoolEndpoint) -> bool:
        """Whether some miner has mined there for a while and still can, as the pool's word of late shows."""
        return any(one.is_served and one.endpoint == endpoint for one in self.upstreams)

    def reconfigure(self, options: PoolOptions, proxy: ProxyOptions) -> None:
        """Takes another configuration: its limits hold for new work, and miners move where its addresses differ."""
        self.options, self.proxy, self.limits = options, proxy, proxy.limits
        if options.endpoints == self.route.endpoints:
            return
        self.route.replace(options.endpoints)
        self.metrics.uses(self.route.endpoint.address)
        if self.route.preferred_down:
            self._prober.route_changed(is_return=False)
        for dialer in tuple(self.dialers):
            dialer.reroute()
        self.spare.follow()

    def stop(self) -> None:
        """Looks for better addresses no more, and keeps no connection ready."""
        self._prober.stop()
        self.spare.stop()

    def _route_changed(self, change: RouteChange) -> None:
        log.warning(
            "pool_return" if change.is_return else "failover",
            pool_label=self.name,
            pool=change.after.address,
            before=change.before.address,
            why=change.why,
            miners=len(self.dialers),
        )
        self.metrics.failed_over(change.after.address, is_return=change.is_return)
        self._prober.route_changed(is_return=change.is_return)
        for dialer in tuple(self.dialers):
            dialer.follow()
        self.spare.follow()
