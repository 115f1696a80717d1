"""How fast headers are tried, over the last while."""

from __future__ import annotations

from collections import deque

_WINDOW_SECONDS = 30.0


class Rate:
    """Trials a second over the last half minute, from counts that are noted now and then."""

    def __init__(self, trials: int, now_seconds: float) -> None:
        self._noted = deque([(now_seconds, trials)])

    def note(self, trials: int, now_seconds: float) -> float:
        """Takes the count so far and gives the rate, in headers a second; 0 at first."""
        self._noted.append((now_seconds, trials))
        while len(self._noted) > 2 and self._noted[1][0] <= now_seconds - _WINDOW_SECONDS:
            self._noted.popleft()
        since, before = self._noted[0]
        seconds = now_seconds - since
        return (trials - before) / seconds if seconds > 0 else 0.0
