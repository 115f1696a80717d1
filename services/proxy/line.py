"""One upstream at a time, and the miners that work on it: one in dedicated mode, many in shared mode."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.dialer import Dialer
from services.stratum.extranonce_space import ExtranonceSpace, SoleSpace, shared_extranonce1_size, shared_room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.miner import Miner
    from services.proxy.pool import Pool
    from services.proxy.upstream import Upstream
    from services.proxy.upstream_listener import Loss
    from services.proxy.work import Work

log = structlog.get_logger()

PORTION: Final = 200
"""So many miners are told of the pool's news in a turn; then the event loop's others have theirs."""


class Line:
    """``room`` is how many miners it takes, as far as is known before the pool has told its extranonce sizes.

    News of the upstream reach each miner by ``Miner.follow``, which looks at what is new there for itself. So news that
    come while the last ones are still on their way make no queue, and nobody waits longer for them.
    """

    __slots__ = (
        "_dialer",
        "_has_more_news",
        "_is_shared",
        "_job_since",
        "_pool",
        "_room",
        "_space",
        "_telling",
        "miners",
    )

    def __init__(self, pool: Pool, *, room: int) -> None:
        self.miners: dict[Miner, None] = {}
        self._pool = pool
        self._is_shared = pool.is_shared
        self._room = room
        self._dialer = Dialer(pool, self)
        self._space: ExtranonceSpace | SoleSpace | None = None
        self._telling: Iterator[Miner] | None = None
        self._has_more_news = False
        self._job_since: float | None = None

    @property
    def upstream(self) -> Upstream | None:
        """The one that is alive, or None."""
        return self._dialer.upstream

    @property
    def has_room(self) -> bool:
        """Whether one more miner fits."""
        return len(self.miners) < self._room

    def add(self, miner: Miner) -> None:
        """Takes a miner; dials for the first one. Who comes to a living upstream calls ``follow`` for itself."""
        self.miners[miner] = None
        self._dialer.start()

    def remove(self, miner: Miner) -> None:
        """Lets a miner go; the last one closes the upstream."""
        if miner in self.miners:
            del self.miners[miner]
            if not self.miners:
                self._dialer.stop()
            self._pool.lines.left(self)

    def fill(self) -> None:
        """There was no place for a miner, whatever the sizes promise: it takes one only once another one has left."""
        self._room = len(self.miners)

    def space(self, upstream: Upstream) -> ExtranonceSpace | SoleSpace:
        """Where the miners of the upstream's current job have their places."""
        current, space = upstream.current, self._space
        extranonce = current.extranonce if current is not None else upstream.extranonce
        if space is None or space.unique != upstream.number or space.pool != extranonce:
            numbers = self._pool.miner_numbers
            if self._is_shared:
                own_size = shared_extranonce1_size(extranonce[1])
                self._space = space = ExtranonceSpace(extranonce, upstream.number, numbers, own_size)
                self._learn_room(shared_room(extranonce[1]))
            else:
                self._space = space = SoleSpace(extranonce, upstream.number, numbers)
        return space

    # PoolUser

    def users(self, endpoint: PoolEndpoint) -> list[str]:
        """One miner's names suffice to be sent jobs; the others' follow, each before its first share."""
        workers = next((miner.workers for miner in self.miners if miner.workers), {})
        return endpoint.users_for(workers)

    def upstream_ready(self, upstream: Upstream) -> None:
        self.space(upstream)
        self._tell()

    def upstream_changed(self, upstream: Upstream) -> None:
        self._tell()

    def job_received(self, work: Work) -> None:
        self.space(work.upstream)
        if self._job_since is None:
            self._job_since = work.received_seconds
        self._tell()

    def upstream_lost(self, upstream: Upstream, loss: Loss) -> None:
        """The miners stay, with the job that they have, until there is another upstream."""

    def _learn_room(self, room: int) -> None:
        if room != self._room:
            self._room = room
            self._pool.lines.has_room(self, room)

    def _tell(self) -> None:
        if self._telling is not None:
            self._has_more_news = True
            return
        if len(self.miners) == 1:
            for miner in tuple(self.miners):
                self._tell_miner(miner)
            self._told()
            return
        self._telling = iter(tuple(self.miners))
        self._tell_on()

    def _tell_on(self) -> None:
        told = 0
        assert self._telling is not None
        for miner in islice(self._telling, PORTION):
            told += 1
            # Who left meanwhile has nothing to do with it.
            if miner in self.miners:
                self._tell_miner(miner)
        if told == PORTION:
            asyncio.get_running_loop().call_soon(self._tell_on)
            return
        self._telling = None
        if self._has_more_news:
            self._has_more_news = False
            self._tell()
        else:
            self._told()

    def _tell_miner(self, miner: Miner) -> None:
        upstream = self._dialer.upstream
        if upstream is None:
            return  # the next one will be told of
        try:
            miner.follow(upstream)
        except Exception:
            log.exception("miner_error", miner=miner.address)
            miner.fail("internal error")

    def _told(self) -> None:
        if self._job_since is not None:
            self._pool.lines.fanned_out(self._job_since)
            self._job_since = None
