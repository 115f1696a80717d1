"""How many rows a minute strangers may cause in the store."""

from __future__ import annotations

from typing import Final

MINUTE_SECONDS: Final = 60.0
CONNECTIONS_WORTH: Final = 100
"""So many connections' worth of rows all connections of a proxy may cause together."""


class RowBudget:
    """``a_minute`` rows in each minute that begins with the first of them. Times are monotonic seconds.

    Another ``a_minute`` holds from the next minute on.
    """

    __slots__ = ("_left", "_since", "a_minute")

    def __init__(self, a_minute: int) -> None:
        self.a_minute = self._left = a_minute
        self._since = float("-inf")

    def take(self, now: float) -> bool:
        """Whether one more may be written."""
        if now - self._since >= MINUTE_SECONDS:
            self._since, self._left = now, self.a_minute
        if self._left <= 0:
            return False
        self._left -= 1
        return True
