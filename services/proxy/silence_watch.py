"""Notices that a pool says nothing at all any more, while it owes no verdict that would show it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.proxy.upstream import Upstream


class SilenceWatch:
    """Ends the connection once nothing was heard for ``idle_seconds``; watches from ``begin`` to ``stop``.

    That proves nothing yet: a pool that lives may have nothing to say. But it answers a new connection, a dead one not.
    """

    __slots__ = ("_loop", "_slot", "_upstream", "heard_at")

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._slot: int | None = None
        self.heard_at = self._loop.time()
        """When the pool sent something last, by the loop's clock."""

    def begin(self) -> None:
        """The time counts from when the pool was heard last. Idempotent."""
        if self._slot is None:
            self._slot = self._upstream.pool.deadlines.wake(self, self._due)

    def stop(self) -> None:
        """Watches no more."""
        if self._slot is not None:
            self._upstream.pool.deadlines.drop(self, self._slot)

    def fall_due(self) -> None:
        """Time has passed."""
        self._slot = None
        if self._loop.time() >= self._due:
            self._upstream.end("the pool is silent")
        else:
            self.begin()

    @property
    def _due(self) -> float:
        return self.heard_at + self._upstream.patience.idle_seconds
