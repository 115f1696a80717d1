"""How many worker names that nobody gave before are taken in a day: each costs rows in the store for ever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_DAY_SECONDS: Final = 86_400
_KEPT_DAYS: Final = 4


class WorkerNames:
    """Names given on this day and the one before (UTC) are known; others are new, at most ``new_a_day`` of them.

    Also bounded in all: at most ``4 * new_a_day`` names are kept, beyond that every unknown name is refused.
    """

    def __init__(self, new_a_day: int, clock: Callable[[], float] = time.time) -> None:
        self.new_a_day = new_a_day
        self._clock = clock
        self._day = 0
        self._new = 0
        self._today: set[str] = set()
        self._yesterday: set[str] = set()

    def take(self, name: str) -> bool:
        """Notes that a worker of that name is here; False where it is one too many."""
        day = int(self._clock() // _DAY_SECONDS)
        if day != self._day:
            self._yesterday = self._today if day == self._day + 1 else set()
            self._today, self._day, self._new = set(), day, 0
        if name in self._today:
            return True
        if name not in self._yesterday:
            if self._new >= self.new_a_day or len(self._today) >= _KEPT_DAYS * self.new_a_day:
                return False
            self._new += 1
        self._today.add(name)
        return True
