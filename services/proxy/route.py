"""Which of a pool's addresses is used: the first of the list that is not known to be down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.endpoint import PoolEndpoint


@dataclass(frozen=True, slots=True)
class RouteChange:
    """From one address to another. ``is_return``: to one that is preferred to it."""

    before: PoolEndpoint
    after: PoolEndpoint
    why: str
    is_return: bool


class Route:
    """The addresses of one pool in the operator's order. No I/O: others report, ``on_change`` hears what follows.

    Where all are down, they are tried in turn, and no change is told until one works.
    """

    def __init__(self, endpoints: tuple[PoolEndpoint, ...], on_change: Callable[[RouteChange], None]) -> None:
        self.endpoints = endpoints
        self.endpoint = endpoints[0]
        """The one to dial."""
        self._on_change = on_change
        self._down: set[PoolEndpoint] = set()
        self._told = endpoints[0]

    @property
    def all_down(self) -> bool:
        """Whether there is no address left that may work."""
        return len(self._down) == len(self.endpoints)

    @property
    def preferred_down(self) -> tuple[PoolEndpoint, ...]:
        """The addresses before the one in use, which are down, in order; none where all are down and tried in turn."""
        return () if self.all_down else self.endpoints[: self.endpoints.index(self.endpoint)]

    def is_down(self, endpoint: PoolEndpoint) -> bool:
        """Whether it failed, and was not seen to work since."""
        return endpoint in self._down

    def after(self, endpoint: PoolEndpoint) -> PoolEndpoint | None:
        """The next address in order, for who alone is not served at ``endpoint``; None for none.

        It may be down: nobody has looked for long.
        """
        following = self.endpoints[self.endpoints.index(endpoint) + 1 :] if endpoint in self.endpoints else ()
        return following[0] if following else None

    def others(self, endpoint: PoolEndpoint) -> tuple[PoolEndpoint, ...]:
        """All but one, from the next one on in order."""
        number = self.endpoints.index(endpoint) if endpoint in self.endpoints else -1
        return self.endpoints[number + 1 :] + self.endpoints[: max(number, 0)]

    def should_leave(self, endpoint: PoolEndpoint) -> bool:
        """Whether a connection to ``endpoint`` should move: a better one is in use, or it is configured no more."""
        if endpoint not in self.endpoints:
            return True
        return self.endpoints.index(self.endpoint) < self.endpoints.index(endpoint) and not self.is_down(self.endpoint)

    def failed(self, endpoint: PoolEndpoint, why: str) -> None:
        """An address does not serve miners now."""
        if endpoint not in self.endpoints:
            return
        self._down.add(endpoint)
        if self.all_down and endpoint == self.endpoint:
            following = self.endpoints.index(endpoint) + 1
            self.endpoint = self.endpoints[following % len(self.endpoints)]
        self._choose(why)

    def works(self, endpoint: PoolEndpoint, why: str = "it works again") -> None:
        """An address serves miners, or is to be tried as if it did."""
        if endpoint in self._down:
            self._down.discard(endpoint)
            self._choose(why)

    def replace(self, endpoints: tuple[PoolEndpoint, ...]) -> None:
        """Takes other addresses; what is known about those that stay is kept. Tells nothing."""
        self.endpoints = endpoints
        self._down.intersection_update(endpoints)
        self.endpoint = self._told = next((one for one in endpoints if one not in self._down), endpoints[0])

    def _choose(self, why: str) -> None:
        best = next((endpoint for endpoint in self.endpoints if endpoint not in self._down), None)
        if best is None:
            return
        self.endpoint = best
        before, self._told = self._told, best
        if before != best:
            is_return = self.endpoints.index(best) < self.endpoints.index(before)
            self._on_change(RouteChange(before, best, why, is_return))
