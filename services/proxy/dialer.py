"""Keeps a pool connection behind a miner: dials, dials again with a growing pause and jitter, and moves."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from services.proxy.dialing import DialError, dial
from services.proxy.respites import Respites
from services.proxy.upstream_listener import UpstreamListener

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.pool import Pool
    from services.proxy.upstream import Upstream
    from services.proxy.upstream_listener import Loss
    from services.proxy.work import Work

log = structlog.get_logger()

_QUIET_FAILURES: Final = 3
_TRIES: Final = 2
"""So often an address is tried before another one is, where a failure leaves hope."""


class PoolUser(UpstreamListener, Protocol):
    """Who works on the upstreams that a dialer keeps."""

    def users(self, endpoint: PoolEndpoint) -> Sequence[str]:
        """The names to authorize there at once."""


class Dialer:
    """Holds at most one upstream for its user, from ``start`` to ``stop``: at the address that the pool's route names.

    Moving to another address, it keeps the old connection until the new one has a job. Where an address serves others
    but not this user (pools bound the connections of one client), it makes a detour for a while; where one wants this
    user back later, another one serves until then.
    """

    __slots__ = (
        "_detour",
        "_detour_end",
        "_dialling",
        "_failures",
        "_failures_here",
        "_patience",
        "_pause_seconds",
        "_place_asked",
        "_pool",
        "_respites",
        "_stopped",
        "_user",
        "upstream",
    )

    def __init__(self, pool: Pool, user: PoolUser) -> None:
        self.upstream: Upstream | None = None
        """The one that is alive, or None."""
        self._pool = pool
        self._user = user
        self._patience = pool.proxy.patience
        self._failures = self._failures_here = 0
        self._pause_seconds = 0.0
        self._place_asked: tuple[PoolEndpoint | None, str, int] = (None, "", 0)
        self._dialling: asyncio.Task[None] | None = None
        self._detour: PoolEndpoint | None = None
        self._detour_end: asyncio.TimerHandle | None = None
        self._respites: Respites | None = None
        self._stopped = False

    def start(self) -> None:
        """Dials, unless that was asked before."""
        if self._dialling is None and self.upstream is None and not self._stopped:
            self._pool.dialers.add(self)
            self._dial_after(0.0)

    def stop(self) -> None:
        """Dials no more. An upstream with shares under way closes by itself, once the last verdict is in."""
        self._stopped = True
        self._pool.dialers.discard(self)
        if self._detour_end is not None:
            self._detour_end.cancel()
        if self._respites is not None:
            self._respites.clear()
        if self._dialling is not None:
            self._dialling.cancel()
        if self.upstream is not None:
            self.upstream.retire()

    def follow(self) -> None:
        """Moves where the pool's route now leads elsewhere."""
        if self._dialling is None and self._should_move():
            self._dial_after(self._moving_pause())

    def reroute(self) -> None:
        """Starts anew where the pool's addresses are others now: what failed before is no reason to wait."""
        self._failures = self._failures_here = 0
        self._go_round(None)
        if self._respites is not None:
            self._respites.clear()
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None
        if self.upstream is None or self._should_move():
            self._dial_after(self._moving_pause())

    # UpstreamListener: the dialer stands between, to know what to dial next

    def upstream_ready(self, upstream: Upstream) -> None:
        """Told to whoever dials."""

    def upstream_changed(self, upstream: Upstream) -> None:
        if upstream is self.upstream:
            self._user.upstream_changed(upstream)

    def job_received(self, work: Work) -> None:
        if work.upstream is self.upstream:
            work.upstream.silence.begin()
            self._user.job_received(work)

    def upstream_lost(self, upstream: Upstream, loss: Loss) -> None:
        if upstream is not self.upstream:
            return
        self.upstream = None
        if upstream.has_lasted:
            self._failures = self._failures_here = 0
        self._pause_seconds = self._failed(upstream.endpoint, loss)
        self._place_asked = upstream.endpoint, loss.host, loss.port
        self._user.upstream_lost(upstream, loss)
        if self._dialling is None:
            self._dial_after(self._pause_seconds)

    def _dial_after(self, pause_seconds: float) -> None:
        self._dialling = asyncio.create_task(self._dial(pause_seconds))

    @property
    def _preferred(self) -> PoolEndpoint:
        return self._detour or self._pool.route.endpoint

    @property
    def _goal(self) -> PoolEndpoint:
        preferred, respites = self._preferred, self._respites
        return preferred if respites is None else respites.instead_of(preferred, self._pool.route)

    @property
    def _wait_seconds(self) -> float:
        """How long the address that should be used is to be left alone."""
        return 0.0 if self._respites is None else self._respites.seconds_left(self._preferred)

    def _should_move(self) -> bool:
        if self.upstream is None or self.upstream.endpoint in (self._detour, self._goal):
            return False
        return self._pool.route.should_leave(self.upstream.endpoint)

    async def _dial(self, pause_seconds: float) -> None:
        """Until a connection stands where it should; from then on upstream_lost and follow decide."""
        while True:
            await asyncio.sleep(pause_seconds)
            if self.upstream is not None and not self._should_move():
                break
            endpoint = self._goal
            if self._respites is not None and self._respites.has(endpoint):
                pause_seconds = self._respites.seconds_left(endpoint)
                continue
            try:
                upstream = await self._connection(endpoint)
            except DialError as error:
                pause_seconds = self._failed(endpoint, error.loss)
            else:
                self._take(upstream)
                pause_seconds = 0.0 if self.upstream is not None else self._pause_seconds
        self._dialling = None

    def _spare(self, endpoint: PoolEndpoint) -> Upstream | None:
        """For who has nothing: the spare may have no job, which who moves must have first."""
        upstream = self._pool.spare.take(endpoint) if self.upstream is None else None
        if upstream is not None:
            for user in self._user.users(endpoint):
                upstream.authorize(user)
        return upstream

    async def _connection(self, endpoint: PoolEndpoint) -> Upstream:
        asked_by, host, port = self._place_asked
        if asked_by == endpoint:
            self._place_asked = (None, "", 0)
        else:
            host, port = "", 0
        if not (host or port) and (spare := self._spare(endpoint)) is not None:
            return spare
        with_job = self.upstream is not None
        users = self._user.users(endpoint)
        return await dial(self._pool, endpoint, users, with_job=with_job, host=host, port=port)

    def _take(self, upstream: Upstream) -> None:
        left, self.upstream = self.upstream, upstream
        upstream.listener = self
        if upstream.current is not None:
            upstream.silence.begin()
        if left is not None:
            left.step_aside()
        log.info("upstream_connected", **self._facts(upstream.endpoint))
        self._pool.route.works(upstream.endpoint)
        try:
            self._user.upstream_ready(upstream)
        except Exception:
            log.exception("upstream_error", **self._facts(upstream.endpoint))
            upstream.end("internal error")
        self._pool.spare.fill()

    def _failed(self, endpoint: PoolEndpoint, loss: Loss) -> float:
        """Notes a failure; gives the pause before the next try."""
        self._failures += 1
        self._failures_here += 1
        pool = self._pool
        pool.metrics.upstreams_lost.inc()
        # A pool that stays away is told of now and then, not at every miner's every try.
        if self._failures <= _QUIET_FAILURES or self._failures & (self._failures - 1) == 0:
            log.warning("upstream_lost", why=loss.why, failures=self._failures, **self._facts(endpoint))
        is_given_up = loss.conclusive or self._failures_here >= _TRIES
        if is_given_up:
            self._give_up(endpoint, loss)
        if loss.pause_seconds > self._patience.wait_seconds and pool.route.others(endpoint):
            self._failures_here = 0
            self._leave_alone(endpoint, loss.pause_seconds + self._pause(endpoint))
            return self._pause(endpoint)
        pause_seconds = loss.pause_seconds + self._pause(endpoint)
        if wait_seconds := self._wait_seconds:
            if is_given_up:
                self._leave_alone(endpoint, pause_seconds)
            return min(pause_seconds, wait_seconds)
        return pause_seconds

    def _give_up(self, endpoint: PoolEndpoint, loss: Loss) -> None:
        """An address is tried no more for now: by this user, or, where it serves no other, by nobody."""
        self._failures_here = 0
        route = self._pool.route
        # One miner's bad luck is no reason to send all others elsewhere.
        is_mine_alone = not route.is_down(endpoint) and self._pool.is_served_by(endpoint)
        if not self._wait_seconds:
            self._go_round(endpoint if is_mine_alone else None)
        if not is_mine_alone:
            route.failed(endpoint, loss.why)

    def _leave_alone(self, endpoint: PoolEndpoint, seconds: float) -> None:
        if self._respites is None:
            self._respites = Respites(self.follow)
        self._respites.grant(endpoint, seconds)

    def _moving_pause(self) -> float:
        return random.uniform(0.0, self._patience.move_seconds)  # noqa: S311 - not all at once

    def _go_round(self, endpoint: PoolEndpoint | None) -> None:
        """Avoids an address for a while, where there is another one; None: avoids none."""
        if self._detour_end is not None:
            self._detour_end.cancel()
            self._detour_end = None
        self._detour = self._pool.route.after(endpoint) if endpoint is not None else None
        if self._detour is not None:
            seconds = self._patience.detour_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - not all at once
            self._detour_end = asyncio.get_running_loop().call_later(seconds, self._end_detour)

    def _end_detour(self) -> None:
        self._detour = self._detour_end = None
        self.follow()

    def _pause(self, failed: PoolEndpoint) -> float:
        patience, route = self._patience, self._pool.route
        goes_elsewhere = self._goal != failed and not route.is_down(self._goal)
        doublings = 0 if goes_elsewhere else min(self._failures - 1, 20)
        longest = min(patience.first_pause_seconds * 2.0**doublings, patience.longest_pause_seconds)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, so that miners do not return as one

    def _facts(self, endpoint: PoolEndpoint) -> dict[str, str]:
        return {"pool_label": self._pool.name, "pool": endpoint.address}
