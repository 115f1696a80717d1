"""How long to wait before the next attempt to reach a pool."""

from __future__ import annotations

import random

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 60.0


class Backoff:
    """Doubles from one second to a minute, each with up to half taken off at random, so that a crowd spreads out."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """To be called once the pool works."""
        self._failures = 0

    def next_seconds(self) -> float:
        """The wait before the next attempt."""
        longest: float = min(_FIRST_SECONDS * 2.0 ** min(self._failures, 10), _LONGEST_SECONDS)
        self._failures += 1
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 (no secret depends on it)
