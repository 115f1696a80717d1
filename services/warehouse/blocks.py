"""Block candidates of the proxies, and blocks that the merge miner found. Times in unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.warehouse.analysis import Analysis

_CANDIDATES: Final = """\
SELECT toUnixTimestamp64Milli(ts), proxy, pool_label, pool, miner, worker, height, actual_difficulty,
    network_difficulty, forwarded, refusal, pool_verdict, block_hash
FROM block_candidates FINAL{period} ORDER BY ts DESC, proxy, header LIMIT {most:UInt32}"""
_BETWEEN: Final = " WHERE ts >= toDateTime64({start:Int64}, 3, 'UTC') AND ts < toDateTime64({end:Int64}, 3, 'UTC')"
_FOUND: Final = """\
SELECT toUnixTimestamp64Milli(ts), chain, height, nonce, hash, worker, pool
FROM found_blocks FINAL ORDER BY ts DESC, chain, hash LIMIT {most:UInt32}"""
_COUNTS: Final = """\
SELECT (SELECT count() FROM block_candidates FINAL), (SELECT count() FROM found_blocks FINAL)"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A share that met its job's network target."""

    at: float
    proxy: str
    pool_label: str
    pool: str
    miner: str
    worker: str
    height: int
    actual_difficulty: float
    network_difficulty: float
    forwarded: bool
    """Whether the pool was sent it."""
    refusal: str
    """What the proxy itself refused it for; empty if nothing."""
    pool_verdict: str
    """accepted, a pool_ word, or no_verdict; empty while it is not known."""
    block_hash: str


@dataclass(frozen=True, slots=True)
class Found:
    """A block of the merge miner."""

    at: float
    chain: str
    height: int
    nonce: int
    hash: str
    worker: str
    pool: str


@dataclass(frozen=True, slots=True)
class Blocks:
    """The latest of both kinds, and how many there are."""

    candidates: tuple[Candidate, ...]
    candidates_total: int
    found: tuple[Found, ...]
    found_total: int


async def latest_blocks(analysis: Analysis, *, most: int = 200) -> Blocks:
    """Raises StoreUnavailable."""
    candidates = await analysis.rows(_CANDIDATES.replace("{period}", ""), {"most": most})
    found = await analysis.rows(_FOUND, {"most": most})
    ((candidates_total, found_total),) = await analysis.rows(_COUNTS, {})
    return Blocks(
        _candidates(candidates),
        candidates_total,
        tuple(Found(row[0] / 1000, *row[1:]) for row in found),
        found_total,
    )


async def candidates_between(analysis: Analysis, start: int, end: int, *, most: int) -> tuple[Candidate, ...]:
    """The latest of [start, end), unix seconds. Raises StoreUnavailable."""
    bound = {"start": start, "end": end, "most": most}
    return _candidates(await analysis.rows(_CANDIDATES.replace("{period}", _BETWEEN), bound))


def _candidates(rows: Iterable[Sequence[Any]]) -> tuple[Candidate, ...]:
    return tuple(Candidate(row[0] / 1000, *row[1:]) for row in rows)
