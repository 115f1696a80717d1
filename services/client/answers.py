"""What the client gives. Hash rates in Gh/s, times in unix seconds, share values sums of difficulty: docs/API.md."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
State = Literal["ok", "offline"]
Basis = Literal["actual", "credited"]


@dataclass(frozen=True)
class Health:
    status: str
    timestamp: int
    database: Literal["connected", "disconnected"]


@dataclass(frozen=True)
class Summary:
    """All pools together, and the operator's terms."""

    hash_rate_5m: float
    hash_rate_60m: float
    hash_rate_24h: float
    shares_5m: int
    shares_60m: int
    shares_24h: int
    shares_value_5m: float
    shares_value_60m: float
    shares_value_24h: float
    share_value_basis: Basis
    pool_fee: float
    minimum_payout_threshold: float
    minimum_payout_threshold_unit: str


@dataclass(frozen=True)
class PoolStats:
    """One pool, or all (`pool` is "all", and `pools_included` names them)."""

    pool: str
    share_value_basis: Basis
    pools_included: tuple[str, ...]
    hash_rate_5m: float
    hash_rate_60m: float
    hash_rate_24h: float
    hash_rate_yesterday: float
    ok_workers: int
    off_workers: int
    shares_5m: int
    shares_60m: int
    shares_24h: int
    shares_yesterday: int
    shares_value_5m: float
    shares_value_60m: float
    shares_value_24h: float
    shares_value_yesterday: float


@dataclass(frozen=True)
class WorkerStats:
    state: State
    last_share: int
    hash_rate_5m: float
    hash_rate_60m: float
    hash_rate_24h: float
    shares_5m: int
    shares_60m: int
    shares_24h: int
    share_value_5m: float
    share_value_60m: float
    share_value_24h: float
    share_value_actual_24h: float
    share_value_credited_24h: float


@dataclass(frozen=True)
class DayFigures:
    """One worker on one UTC day."""

    hashrate: float
    shares: int
    share_value: float
    share_value_actual: float
    share_value_credited: float


@dataclass(frozen=True)
class PeriodFigures(DayFigures):
    """One worker between two moments."""

    state: State
    last_share: int


@dataclass(frozen=True)
class RawShare:
    """One accepted share."""

    id: str
    timestamp: int
    timestamp_ms: int
    miner: str
    worker: str
    pool: str
    pool_label: str
    pool_difficulty: float
    pool_requested_difficulty: float
    actual_difficulty: float
    block_hash: str


@dataclass(frozen=True)
class RawPage:
    """Shares, the oldest first; `next_cursor` is None on the last page."""

    shares: tuple[RawShare, ...]
    total_count: int
    next_cursor: str | None


def read(kind: type[T], facts: Mapping[str, Any]) -> T:
    """A `kind` from a JSON object; fields that it does not know are left out. Raises KeyError where one is missing."""
    return kind(**{field.name: facts[field.name] for field in fields(kind)})  # type: ignore[arg-type]
