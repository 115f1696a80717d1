"""How hard a connection's shares are, and how hard the chain's blocks."""

from __future__ import annotations

import math

FEWEST_SHARES_PER_SECOND = 1.0
MOST_SHARES_PER_SECOND = 5.0
_WANTED_SHARES_PER_SECOND = math.sqrt(FEWEST_SHARES_PER_SECOND * MOST_SHARES_PER_SECOND)
_WINDOW_SECONDS = 10.0
_WINDOW_SHARES = 32
_SHORTEST_WINDOW_SECONDS = 0.05


class Vardiff:
    """One connection's difficulty: a power of two that keeps its shares between 1 and 5 a second.

    Rates are measured in work (the credited difficulty), so that late shares of an easier job do not mislead.
    """

    __slots__ = ("_minimum", "_since", "_work", "_shares", "difficulty")

    def __init__(self, difficulty: float, minimum: float, now_seconds: float) -> None:
        self.difficulty = difficulty
        self._minimum = minimum
        self._restart(now_seconds)

    def accepted(self, credited_difficulty: float) -> None:
        """Counts a share."""
        self._work += credited_difficulty
        self._shares += 1

    def retarget(self, now_seconds: float, maximum: float) -> bool:
        """Whether the difficulty changed. To be asked after each share, and now and then where none come."""
        elapsed = now_seconds - self._since
        if elapsed < _WINDOW_SECONDS and (self._shares < _WINDOW_SHARES or elapsed < _SHORTEST_WINDOW_SECONDS):
            return False
        rate = self._work / elapsed / self.difficulty
        # Without any share there is nothing to compute from: one step down, and another look.
        wanted = self._work / elapsed / _WANTED_SHARES_PER_SECOND if self._shares else self.difficulty / 8
        self._restart(now_seconds)
        difficulty = self.difficulty
        if not FEWEST_SHARES_PER_SECOND <= rate <= MOST_SHARES_PER_SECOND or difficulty > maximum:
            difficulty = self._bounded(2.0 ** round(math.log2(wanted)), maximum)
        changed = difficulty != self.difficulty
        self.difficulty = difficulty
        return changed

    def start_at(self, difficulty: float, now_seconds: float, maximum: float) -> None:
        """Takes the miner's suggestion, rounded down to a power of two, within the bounds."""
        self.difficulty = self._bounded(2.0 ** math.floor(math.log2(difficulty)), maximum)
        self._restart(now_seconds)

    def _bounded(self, difficulty: float, maximum: float) -> float:
        highest = 2.0 ** math.floor(math.log2(maximum))
        return max(min(difficulty, highest), self._minimum)

    def _restart(self, now_seconds: float) -> None:
        self._since = now_seconds
        self._work = 0.0
        self._shares = 0


class WorkRate:
    """The whole pool's rate in difficulty per second: an average that forgets with a time constant of one minute."""

    _MEMORY_SECONDS = 60.0
    _LEAST_SECONDS = 0.5

    def __init__(self, work_per_second: float, now_seconds: float) -> None:
        """``work_per_second`` is what an earlier run saw, 0 for none."""
        self._updated = now_seconds
        self._work = work_per_second * self._MEMORY_SECONDS
        # How much of the memory is filled: 1 is a minute's worth, so that a young average is not taken for a low rate.
        self._filled = 1.0 if work_per_second else 0.0

    def add(self, work: float, now_seconds: float) -> None:
        """Counts an accepted share's difficulty."""
        self._decay(now_seconds)
        self._work += work

    def per_second(self, now_seconds: float) -> float:
        """The rate now."""
        self._decay(now_seconds)
        return self._work / (self._MEMORY_SECONDS * max(self._filled, self._LEAST_SECONDS / self._MEMORY_SECONDS))

    def _decay(self, now_seconds: float) -> None:
        kept = math.exp(-max(now_seconds - self._updated, 0.0) / self._MEMORY_SECONDS)
        self._updated = now_seconds
        self._work *= kept
        self._filled = 1 - (1 - self._filled) * kept
