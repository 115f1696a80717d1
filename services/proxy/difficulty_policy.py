"""What difficulty a miner is told, and what its shares are credited with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from services.stratum.password import PasswordOptions

UNTOLD_DIFFICULTY: Final = 1.0
"""What holds on a connection whose pool sends jobs before any set_difficulty."""


class DedicatedDifficulty:
    """One miner with a pool connection of its own: the pool decides, but never below what the miner asked for."""

    __slots__ = ("_minimums", "pool", "told")

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
        if difficulty:
            self._minimums[worker] = difficulty
        else:
            self._minimums.pop(worker, None)

    @property
    def wanted(self) -> float | None:
        """What the miner should be told: the larger of the pool's and the miner's own, None until the pool's is known.

        A connection has one difficulty, so of several workers the most demanding decides.
        """
        if self.pool is None or not self._minimums:
            return self.pool
        return max(self.pool, *self._minimums.values())

    def change(self) -> float | None:
        """The difficulty to tell the miner now, or None where it knows; noted as told."""
        wanted = self.wanted
        if wanted is None or wanted == self.told:
            return None
        self.told = wanted
        return wanted
