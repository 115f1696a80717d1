"""Notices that a pool says nothing at all any more, while it owes no verdict that would show it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.deadlines import Deadlines


class SilenceWatch:
    """Calls ``silent`` once nothing was heard for ``seconds``; watches from ``begin`` to ``stop``.

    That proves nothing yet: a pool that lives may have nothing to say. But it answers a new connection, a dead one not.
    """

    __slots__ = ("_deadlines", "_loop", "_seconds", "_silent", "_slot", "heard_at")

    def __init__(self, seconds: float, silent: Callable[[], None], deadlines: Deadlines) -> None:
        self._seconds = seconds
        self._silent = silent
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._slot: int | None = None
        self.heard_at = self._loop.time()

    def begin(self) -> None:
        """The time counts from when the pool was heard last. Idempotent."""
        if self._slot is None:
            self._slot = self._deadlines.wake(self, self.heard_at + self._seconds)

    def heard(self) -> None:
        """The pool sent something."""
        self.heard_at = self._loop.time()

    def stop(self) -> None:
        """Watches no more."""
        if self._slot is not None:
            self._deadlines.drop(self, self._slot)

    def fall_due(self) -> None:
        """Time has passed."""
        self._slot = None
        if self._loop.time() >= self.heard_at + self._seconds:
            self._silent()
        else:
            self.begin()
