"""How long the event loop is held up: while it is, nobody is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_SECONDS: Final = 0.25


class LoopLag:
    """Sets an alarm, again and again, and sees how late it rings. ``observe`` is told of each, in seconds."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._worst = 0.0
        self._due = self._loop.time() + EVERY_SECONDS
        self._timer = self._loop.call_at(self._due, self._ring)

    def worst(self) -> float:
        """The longest since this was asked last, in seconds; one that goes on counts too."""
        worst = max(self._worst, self._loop.time() - self._due, 0.0)
        self._worst = 0.0
        return worst

    def stop(self) -> None:
        """Rings no more."""
        self._timer.cancel()

    def _ring(self) -> None:
        now = self._loop.time()
        lag = max(0.0, now - self._due)
        self._worst = max(self._worst, lag)
        self._observe(lag)
        self._due = now + EVERY_SECONDS
        self._timer = self._loop.call_at(self._due, self._ring)
