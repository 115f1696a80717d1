"""What difficulty a miner is told, and what its shares are credited with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from services.proxy.vardiff import Vardiff

if TYPE_CHECKING:
    from services.proxy.vardiff import VardiffOptions
    from services.stratum.password import PasswordOptions

UNTOLD_DIFFICULTY: Final = 1.0
"""What holds on a connection whose pool sends jobs before any set_difficulty."""


class DedicatedDifficulty:
    """One miner with a pool connection of its own: the pool decides, but never below what the miner asked for."""

    __slots__ = ("_minimums", "pool", "told")
    pool_decides = True
    """Whether a miner's suggestion is the pool's affair, or ours (``start_at``)."""

    def __init__(self) -> None:
        self.pool: float | None = None
        """The pool's own, None until it is known."""
        self.told: float | None = None
        """What the miner was told last."""
        self._minimums: dict[str, float] = {}

    def asked(self, worker: str, options: PasswordOptions) -> None:
        """Takes ``md=`` and ``d=`` (which mean the same here) from a worker's password; the last of a worker holds."""
        self.minimum(worker, max(options.minimum or 0.0, options.fixed or 0.0))

    def minimum(self, worker: str, difficulty: float) -> None:
        """Notes a worker's minimum; 0 for none."""
        _note(self._minimums, worker, difficulty)

    @property
    def wanted(self) -> float | None:
        """What the miner should be told: the larger of the pool's and the miner's own, None until the pool's is known.

        A connection has one difficulty, so of several workers the most demanding decides.
        """
        if self.pool is None or not self._minimums:
            return self.pool
        return max(self.pool, *self._minimums.values())

    @property
    def is_news(self) -> bool:
        """Whether the miner should be told something else than it was."""
        wanted = self.wanted
        return wanted is not None and wanted != self.told

    def change(self) -> float | None:
        """The difficulty to tell the miner now, or None where it knows; noted as told."""
        wanted = self.wanted
        if wanted is None or wanted == self.told:
            return None
        self.told = wanted
        return wanted

    # What makes a difference only where the proxy chooses. Times are monotonic seconds.

    @property
    def due(self) -> float:
        """When to ``look`` at what the time passed without shares says."""
        return math.inf

    def begin(self, now: float) -> None:
        """The miner gets its first job."""

    def start_at(self, difficulty: float, now: float) -> None:
        """Takes the miner's suggestion."""

    def worked(self, credited: float, now: float) -> bool:
        """The miner has found a share; True where it is to be told another difficulty."""
        return False

    def look(self, now: float) -> None:
        """Time has passed."""


class SharedDifficulty(DedicatedDifficulty):
    """One of many miners on an upstream: vardiff decides, or ``d=``; never above the pool's, nor below the minimum.

    So a minimum above the pool's difficulty holds too: the miner has asked for it.
    """

    __slots__ = ("_fixed", "_vardiff")
    pool_decides = False

    def __init__(self, options: VardiffOptions, now: float) -> None:
        super().__init__()
        self._fixed: dict[str, float] = {}
        self._vardiff = Vardiff(options, now)

    def asked(self, worker: str, options: PasswordOptions) -> None:
        """Takes ``md=`` and ``d=`` from a worker's password; the last of a worker holds."""
        self.minimum(worker, options.minimum or 0.0)
        _note(self._fixed, worker, options.fixed or 0.0)

    @property
    def wanted(self) -> float | None:
        """What the miner should be told; None until the pool's difficulty is known."""
        if self.pool is None:
            return None
        if self._fixed:
            own = min(max(self._fixed.values()), self.pool)
        else:
            self._vardiff.ceiling = self.pool
            own = self._vardiff.difficulty
        return max(own, *self._minimums.values()) if self._minimums else own

    @property
    def due(self) -> float:
        return math.inf if self._fixed else self._vardiff.due

    def begin(self, now: float) -> None:
        self._vardiff.begin(now)

    def start_at(self, difficulty: float, now: float) -> None:
        self._vardiff.start_at(difficulty, now)

    def worked(self, credited: float, now: float) -> bool:
        self._vardiff.accepted(credited, now)
        return self.is_news

    def look(self, now: float) -> None:
        self._vardiff.look(now)


def _note(by_worker: dict[str, float], worker: str, difficulty: float) -> None:
    if difficulty:
        by_worker[worker] = difficulty
    else:
        by_worker.pop(worker, None)
