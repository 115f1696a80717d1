"""How long a pool takes to answer shares, of late."""

from __future__ import annotations

import math
from typing import Final

FORGETS_SECONDS: Final = 60.0
"""The average forgets with this time constant."""
_NOTHING: Final = 0.01
_TICK_SECONDS: Final = 0.001
"""What the event loop's clock tells apart: an answer within one tick took some of it."""


class PoolLatency:
    """An average over the answers of the last minutes, the latest weighing most. Times are monotonic seconds."""

    __slots__ = ("_at", "_sum", "_weight")

    def __init__(self) -> None:
        self._sum = self._weight = self._at = 0.0

    def answered(self, seconds: float, now: float) -> None:
        """A share was answered, after so long."""
        self._fade(now)
        self._sum += max(seconds, _TICK_SECONDS / 2)
        self._weight += 1.0

    def seconds(self, now: float) -> float:
        """The average; 0 where the pool answered nothing of late."""
        self._fade(now)
        return self._sum / self._weight if self._weight > _NOTHING else 0.0

    def _fade(self, now: float) -> None:
        kept = math.exp((self._at - now) / FORGETS_SECONDS) if self._weight else 0.0
        self._sum *= kept
        self._weight *= kept
        self._at = now
