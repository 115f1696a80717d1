"""What analyses give. Hash rates in H/s, difficulties as floats, times in unix seconds unless named _ms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.warehouse.results import HASHES_PER_DIFFICULTY

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ShareSums:
    """All shares of a query together."""

    seconds: int
    accepted: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    credited: float = 0.0
    """Sum of the credited difficulty of accepted shares."""
    best: float = 0.0
    """Highest actual difficulty of an accepted share."""
    last: float = 0.0
    """When the last accepted share came; 0 if none did."""
    workers: int = 0
    """With any share, accepted or not; so are the pools."""
    pools: int = 0

    @property
    def rejected(self) -> int:
        return sum(self.rejected_by_reason.values())

    @property
    def hash_rate(self) -> float:
        """H/s over the whole period."""
        return self.credited * HASHES_PER_DIFFICULTY / self.seconds


@dataclass(frozen=True, slots=True)
class Step:
    """The shares of one step of a timeline."""

    accepted: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    credited: float = 0.0
    squares: float = 0.0
    """Sum of squared credited difficulties: the variance of `credited`, where shares come by chance."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Equal steps on multiples of `step_seconds`; the first and the last may reach beyond the period asked for."""

    start: int
    step_seconds: int
    period: tuple[int, int]
    steps: tuple[Step, ...]

    def seconds(self, index: int) -> int:
        """How much of a step lies in the period."""
        begin = self.start + index * self.step_seconds
        return min(begin + self.step_seconds, self.period[1]) - max(begin, self.period[0])


@dataclass(frozen=True, slots=True)
class DifficultySpread:
    """How much harder accepted shares were than they had to be.

    `counts[k]` is the number of shares whose actual difficulty was at least 2^k and less than 2^(k+1) times what was
    asked of them: half of them 1 to 2 times, a quarter 2 to 4 times, and so on, if chance alone decides.
    """

    counts: tuple[int, ...] = ()
    mean: float = 0.0
    """Mean of asked / actual, which chance spreads evenly from 0 to 1."""

    @property
    def shares(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One worker's hash rate by step; None where it had no accepted share."""

    worker: str
    hash_rates: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    start: int
    step_seconds: int
    rows: tuple[HeatRow, ...]
    """The greatest first."""


@dataclass(frozen=True, slots=True)
class ShareCursor:
    """Where a page of shares ends: its last share's time (unix ms) and identity."""

    ts_ms: int
    segment: str
    seq: int


@dataclass(frozen=True, slots=True)
class ListedShare:
    """One share, as a table shows it."""

    cursor: ShareCursor
    worker: str
    pool_label: str
    pool: str
    miner: str
    accepted: bool
    reason: str
    pool_requested_difficulty: float
    pool_difficulty: float
    """Credited difficulty."""
    actual_difficulty: float
    block_hash: str
    """64 hex digits in display order; empty where the header could not be rebuilt."""
    cold: bool
    """Whether it lies on volume `cold` (S3)."""

    @property
    def luck(self) -> float:
        """Actual over credited difficulty: how many times harder than needed; 0 where nothing was credited."""
        return self.actual_difficulty / self.pool_difficulty if self.pool_difficulty > 0 else 0.0


@dataclass(frozen=True, slots=True)
class SharePage:
    """Shares, the newest first; `after` asks for the page that follows, and is None on the last."""

    shares: tuple[ListedShare, ...]
    after: ShareCursor | None


@dataclass(frozen=True, slots=True)
class ColdDays:
    """Which part of a period's days lies on volume `cold`, told by whole days (UTC)."""

    first: str
    """YYYYMMDD; so is `last`."""
    last: str
    rows: int
    bytes_on_disk: int
