"""What the readers' queries give. Hash rates in H/s, difficulties as floats, times in unix seconds unless named _ms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HASHES_PER_DIFFICULTY: Final = 2**32
OK_SECONDS: Final = 600
"""A worker is "ok" while its last share is younger than this."""


# A struct is made in a tenth of a frozen dataclass' time: there are four for each of a thousand workers.
class WindowSums(msgspec.Struct, frozen=True, gc=False):
    """Accepted shares of one window."""

    seconds: int
    shares: int = 0
    credited: float = 0.0
    """Sum of the credited difficulty."""
    actual: float = 0.0
    """Sum of the actual difficulty."""

    @property
    def hash_rate(self) -> float:
        """H/s."""
        return self.credited * HASHES_PER_DIFFICULTY / self.seconds


@dataclass(frozen=True, slots=True)
class PoolStats:
    last_5m: WindowSums
    last_60m: WindowSums
    last_24h: WindowSums
    yesterday: WindowSums
    """The previous UTC day."""
    ok_workers: int
    off_workers: int
    """Workers with an accepted share in the last 24 h that are not ok."""
    pools: tuple[str, ...]
    """Labels of the pools with an accepted share in the last 24 h, sorted: what every page counts as a pool."""


class WorkerStats(msgspec.Struct, frozen=True, gc=False):
    """A worker's accepted shares in the windows that end now."""

    worker: str
    ok: bool
    """Whether the last accepted share is less than 10 minutes old."""
    last_share: int
    last_5m: WindowSums
    last_60m: WindowSums
    last_24h: WindowSums

    @property
    def state(self) -> Literal["ok", "offline"]:
        return "ok" if self.ok else "offline"


class WorkerPeriod(msgspec.Struct, frozen=True, gc=False):
    """A worker's accepted shares in a period."""

    worker: str
    ok: bool
    """Whether the last one is less than 10 minutes before the period's end."""
    last_share: int
    sums: WindowSums

    @property
    def state(self) -> Literal["ok", "offline"]:
        return "ok" if self.ok else "offline"


@dataclass(frozen=True, slots=True)
class MinerRow:
    """The shares of one worker name on one pool, of all its connections together, over the last 24 h."""

    worker: str
    pool_label: str
    accepted: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    hash_rate_5m: float = 0.0
    hash_rate_60m: float = 0.0
    difficulty: float = 0.0
    """What its last share was checked against; 0 if that share is more than five minutes old."""
    last_share: float = 0.0
    """Of the last accepted share; 0 if none was."""
    best_share: float = 0.0
    """Highest actual difficulty of an accepted share; 0 if none was."""
    ok: bool = False
    """Whether the last accepted share is less than 10 minutes old."""

    @property
    def rejected(self) -> int:
        return sum(self.rejected_by_reason.values())


@dataclass(frozen=True, slots=True)
class MinerTotals:
    """The line under a list of miners."""

    miners: int = 0
    ok_miners: int = 0
    workers: int = 0
    accepted: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    hash_rate_5m: float = 0.0
    hash_rate_60m: float = 0.0
    last_share: float = 0.0
    best_share: float = 0.0

    @property
    def rejected(self) -> int:
        return sum(self.rejected_by_reason.values())

    @classmethod
    def of(cls, rows: Iterable[MinerRow]) -> MinerTotals:
        rows = list(rows)
        reasons: dict[str, int] = {}
        for row in rows:
            for reason, count in row.rejected_by_reason.items():
                reasons[reason] = reasons.get(reason, 0) + count
        return cls(
            miners=len(rows),
            ok_miners=sum(row.ok for row in rows),
            workers=len({row.worker for row in rows}),
            accepted=sum(row.accepted for row in rows),
            rejected_by_reason=reasons,
            hash_rate_5m=sum(row.hash_rate_5m for row in rows),
            hash_rate_60m=sum(row.hash_rate_60m for row in rows),
            last_share=max((row.last_share for row in rows), default=0.0),
            best_share=max((row.best_share for row in rows), default=0.0),
        )


@dataclass(frozen=True, slots=True)
class HashRateSeries:
    """Hash rates in equal steps: the first covers [start, start + step_seconds)."""

    start: int
    step_seconds: int
    values: tuple[float, ...]
    """H/s."""
