"""Looks, while a fallback is in use, whether an address that is preferred to it is back."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from services.proxy.dialing import DialError, dial

if TYPE_CHECKING:
    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.pool import Pool

log = structlog.get_logger()


class Prober:
    """One for a pool, whatever the number of its miners. An address counts as back once it sends a job."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._patience = pool.proxy.patience
        self._task: asyncio.Task[None] | None = None
        self._falls = 0
        self._returned_at = 0.0

    def route_changed(self, *, is_return: bool) -> None:
        """Starts to look where there is something to look for."""
        now = asyncio.get_running_loop().time()
        if is_return:
            self._returned_at = now
        elif now - self._returned_at > self._patience.longest_probe_seconds:
            self._falls = 0
        else:
            self._falls += 1  # it came back, and went again soon
        if self._task is None and not is_return:
            self._task = asyncio.create_task(self._look())

    def stop(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        route = self._pool.route
        while route.is_down(route.endpoints[0]):
            await asyncio.sleep(self._pause())
            if not self._pool.dialers:
                # There is nobody to bother the pool for.
                route.works(route.endpoints[0], "no miner is left; the next one tries it first")
            for endpoint in route.preferred_down:
                if await self._is_back(endpoint):
                    route.works(endpoint)
                    break
        self._task = None

    async def _is_back(self, endpoint: PoolEndpoint) -> bool:
        # Where each worker has a name of its own there is nobody to authorize, and so perhaps no job.
        users = () if endpoint.per_worker_users else (endpoint.user,)
        try:
            upstream = await dial(self._pool, endpoint, users, with_job=bool(users))
        except DialError:
            return False
        except Exception:
            log.exception("probe_error", pool=endpoint.address)
            return False
        upstream.retire()
        return True

    def _pause(self) -> float:
        patience = self._patience
        longest = min(patience.probe_seconds * 2.0 ** min(self._falls, 20), patience.longest_probe_seconds)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
