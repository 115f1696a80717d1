"""Addresses of a pool that are left alone for a while, and which one serves meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.route import Route


class Respites:
    """One dialer's: of an address that asked for it, and meanwhile of those that failed.

    ``on_end`` hears of each that is over.
    """

    __slots__ = ("_ends", "_on_end")

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._ends: dict[PoolEndpoint, tuple[float, asyncio.TimerHandle]] = {}
        self._on_end = on_end

    def grant(self, endpoint: PoolEndpoint, seconds: float) -> None:
        """Leaves an address alone from now on."""
        self._forget(endpoint)
        loop = asyncio.get_running_loop()
        self._ends[endpoint] = loop.time() + seconds, loop.call_later(seconds, self._end, endpoint)

    def has(self, endpoint: PoolEndpoint) -> bool:
        """Whether an address is to be left alone."""
        return endpoint in self._ends

    def seconds_left(self, endpoint: PoolEndpoint) -> float:
        """How long yet, at least a little where it is; 0 where it is not to be left alone."""
        if endpoint not in self._ends:
            return 0.0
        return max(self._ends[endpoint][0] - asyncio.get_running_loop().time(), 0.01)

    def instead_of(self, endpoint: PoolEndpoint, route: Route) -> PoolEndpoint:
        """Another address where this one is to be left alone: one that is not known to be down, where there is one.

        Where all are to be left alone, the one that may be dialled first.
        """
        if endpoint not in self._ends:
            return endpoint
        others = route.others(endpoint)
        free = [one for one in others if one not in self._ends]
        if free:
            return next((one for one in free if not route.is_down(one)), free[0])
        return min((endpoint, *others), key=self.seconds_left)

    def clear(self) -> None:
        """Leaves none alone any more. Tells nothing."""
        for endpoint in tuple(self._ends):
            self._forget(endpoint)

    def _forget(self, endpoint: PoolEndpoint) -> None:
        if endpoint in self._ends:
            self._ends.pop(endpoint)[1].cancel()

    def _end(self, endpoint: PoolEndpoint) -> None:
        del self._ends[endpoint]
        self._on_end()
