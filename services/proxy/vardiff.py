"""How hard a miner's shares should be, so that they come at a steady pace whatever its hash rate. No clock, no I/O.

Always a power of two: firmware rounds others down to one, and then sends shares that are too easy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from services.stratum.difficulty import power_of_two_at_most

BURST_SHARES: Final = 16
"""So many shares, come much too fast, suffice to raise the difficulty at once."""
_BURST_PACE: Final = 4.0
_SHORTEST_BURST_SECONDS: Final = 0.001
_SLOWEST_PACE, _FASTEST_PACE = 0.5, 3.0
# Right after a retarget the pace is from 1 to 2. With a window of 12 shares, luck alone leads out of these bounds in
# one window of 50 at the worst.
_STEP_DOWN: Final = 8.0
_FIRST_PATIENCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class VardiffOptions:
    """What an operator may say about it, ``[pools.NAME.vardiff]``.

    A share is wanted at least every ``target_seconds``; the pace is looked at every ``window_seconds``. The difficulty
    starts at ``start`` and stays between ``min`` and ``max``.
    """

    target_seconds: float = 10.0
    window_seconds: float = 120.0
    start: float = 16384.0
    min: float = 0.00001
    max: float = 2.0**64

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"vardiff {name} must be a finite number above 0, not {getattr(self, name)}")
        if self.window_seconds < self.target_seconds:
            raise ValueError("vardiff window_seconds must not be below target_seconds: no share would fall into it")
        if self.lowest > self.max:
            raise ValueError(f"vardiff has no power of two between min = {self.min:g} and max = {self.max:g}")

    @property
    def lowest(self) -> float:
        """The smallest power of two that is allowed."""
        below = power_of_two_at_most(self.min)
        return below if below == self.min else 2 * below


class Vardiff:
    """One connection's. Pace is measured in work (credited difficulty), so late shares of easier jobs do not mislead.

    ``ceiling`` is the pool's own difficulty, which is never passed. Times are monotonic seconds.
    """

    __slots__ = (
        "_burst_since",
        "_burst_work",
        "_level",
        "_options",
        "_proven",
        "_shares",
        "_since",
        "_work",
        "ceiling",
    )

    def __init__(self, options: VardiffOptions, now: float) -> None:
        self.ceiling = math.inf
        self._options = options
        self._work = self._burst_work = 0.0
        self._shares = 0
        self.start_at(options.start, now)

    @property
    def difficulty(self) -> float:
        """What the proxy wants of the miner's shares now."""
        return min(self._level, power_of_two_at_most(self.ceiling)) if self.ceiling < math.inf else self._level

    @property
    def due(self) -> float:
        """When to ``look`` if no share comes; infinite where nothing would follow."""
        if self.difficulty <= self._options.lowest:
            return math.inf
        patience = self._options.window_seconds
        if not self._proven:
            patience = min(patience, _FIRST_PATIENCE * self._options.target_seconds)
        return self._since + patience

    def start_at(self, difficulty: float, now: float) -> None:
        """Starts over, at what the miner asks for: rounded down to a power of two, within the bounds."""
        self._proven = False
        self._restart(self._bounded(difficulty), now)

    def begin(self, now: float) -> None:
        """Starts to measure now."""
        self._restart(self._level, now)

    def accepted(self, credited: float, now: float) -> None:
        """Counts a share; ``difficulty`` may be another one from then on."""
        if not self._shares:
            self._burst_since = now
        self._proven = True
        self._shares += 1
        self._work += credited
        self._burst_work += credited
        if self._shares % BURST_SHARES == 0:
            self._look_at_burst(now)
        self.look(now)

    def look(self, now: float) -> None:
        """Sees what follows from the time passed."""
        if now < self.due and now - self._since < self._options.window_seconds:
            return
        difficulty = self.difficulty
        wanted = self._work / max(now - self._since, _SHORTEST_BURST_SECONDS) * self._options.target_seconds
        if not self._shares:
            # Nothing to compute from: a step down, and another look.
            self._restart(self._bounded(difficulty / _STEP_DOWN), now)
        elif _SLOWEST_PACE * difficulty <= wanted <= _FASTEST_PACE * difficulty:
            self._restart(self._level, now)
        else:
            self._restart(self._bounded(wanted), now)

    def _look_at_burst(self, now: float) -> None:
        seconds = max(now - self._burst_since, _SHORTEST_BURST_SECONDS)
        wanted = self._burst_work / seconds * self._options.target_seconds
        if wanted > _BURST_PACE * self.difficulty:
            self._restart(self._bounded(wanted), now)
        else:
            self._burst_since, self._burst_work = now, 0.0

    def _bounded(self, difficulty: float) -> float:
        options = self._options
        return max(min(power_of_two_at_most(difficulty), power_of_two_at_most(options.max)), options.lowest)

    def _restart(self, level: float, now: float) -> None:
        self._level = level
        self._since = self._burst_since = now
        self._work = self._burst_work = 0.0
        self._shares = 0
