"""Which address each pool was worked with, and when: failovers, returns, outages, as the proxies told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.warehouse.proxies import ALIVE_SECONDS, PROXIES_SQL, ProxyRow, proxy_row

if TYPE_CHECKING:
    from services.warehouse.analysis import Analysis

MOST_CHANGES: Final = 500
# A pool that nobody needs is no news: it stands as it stood.
_CHANGES: Final = """\
SELECT toUnixTimestamp64Milli(ts), proxy, pool_label, pool, state, pool_before, state_before FROM
(
    SELECT ts, proxy, pool_label, pool, state,
        lagInFrame(pool, 1, '') OVER w AS pool_before, lagInFrame(state, 1, '') OVER w AS state_before
    FROM pool_states
    WHERE ts >= toDateTime64({start:Int64} - 3600, 3, 'UTC') AND ts < toDateTime64({end:Int64}, 3, 'UTC')
        AND state != 'idle'
    WINDOW w AS (PARTITION BY proxy, pool_label ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE ts >= toDateTime64({start:Int64}, 3, 'UTC') AND pool_before != ''
    AND (pool != pool_before OR state != state_before)
ORDER BY ts DESC, proxy, pool_label LIMIT {most:UInt32}"""
_SINCE: Final = "SELECT count(), toUnixTimestamp(min(ts)) FROM pool_states"
_STEPS: Final = """\
SELECT pool_label, intDiv(toUnixTimestamp(ts) - {first:Int64}, {step:Int64}) AS number,
    countIf(state = 'away') / count(), max(miners), if(countIf(latency_seconds > 0) > 0,
        avgIf(latency_seconds, latency_seconds > 0), 0)
FROM pool_states
WHERE ts >= toDateTime64({start:Int64}, 3, 'UTC') AND ts < toDateTime64({end:Int64}, 3, 'UTC')
GROUP BY pool_label, number ORDER BY pool_label, number"""
_ADDRESSES: Final = """\
SELECT s.pool_label, s.pool, countIf(s.verdict = 'accepted'), countIf(s.verdict = 'rejected'),
    toUnixTimestamp64Milli(min(s.ts)), toUnixTimestamp64Milli(max(s.ts))
FROM shares AS s
WHERE s.ts >= toDateTime64({start:Int64}, 3, 'UTC') AND s.ts < toDateTime64({end:Int64}, 3, 'UTC')
GROUP BY s.pool_label, s.pool ORDER BY s.pool_label, s.pool LIMIT 1000"""


@dataclass(frozen=True, slots=True)
class PoolChange:
    """One proxy's pool changed its address or its state at `at`, unix seconds."""

    at: float
    proxy: str
    pool_label: str
    pool: str
    """"host:port"."""
    state: str
    """ready or away."""
    pool_before: str
    state_before: str

    @property
    def moved(self) -> bool:
        """Whether another address is in use now: a failover, or the return from one."""
        return self.pool != self.pool_before


@dataclass(frozen=True, slots=True)
class PoolStep:
    """A pool over one step of time, all proxies together."""

    away: float
    """Which part of the heartbeats told that miners wait for the pool: 0 to 1."""
    miners: int
    latency_seconds: float
    """Mean of how long it took to answer shares; 0 if it answered none."""


@dataclass(frozen=True, slots=True)
class PoolAddress:
    """What went to one address of a pool. Times in unix seconds."""

    pool_label: str
    pool: str
    accepted: int
    rejected: int
    first: float
    last: float


async def living_proxies(analysis: Analysis, now: int) -> tuple[ProxyRow, ...]:
    """Every process of a proxy that lives at `now`, by name. Raises StoreUnavailable; so do the others here."""
    rows = [proxy_row(row, now, ALIVE_SECONDS) for row in await analysis.rows(PROXIES_SQL, {"now": now})]
    return tuple(row for row in rows if row.alive)


async def pool_changes(analysis: Analysis, start: int, end: int, *, most: int = MOST_CHANGES) -> tuple[PoolChange, ...]:
    """Changes in [start, end), unix seconds, the latest first."""
    bound: dict[str, Any] = {"start": start, "end": end, "most": most}
    return tuple(PoolChange(row[0] / 1000, *row[1:]) for row in await analysis.rows(_CHANGES, bound))


async def told_since(analysis: Analysis) -> int | None:
    """The first heartbeat that is still known, unix seconds; None if there is none."""
    ((count, since),) = await analysis.rows(_SINCE, {})
    return since if count else None


async def pool_steps(analysis: Analysis, start: int, end: int, step_seconds: int) -> dict[str, dict[int, PoolStep]]:
    """By pool label and number of the step; steps stand on multiples of `step_seconds`, the first has `start` in it."""
    bound = {"start": start, "end": end, "first": start // step_seconds * step_seconds, "step": step_seconds}
    found: dict[str, dict[int, PoolStep]] = {}
    for label, number, away, miners, latency in await analysis.rows(_STEPS, bound):
        found.setdefault(label, {})[number] = PoolStep(away, miners, latency)
    return found


async def pool_addresses(analysis: Analysis, start: int, end: int) -> tuple[PoolAddress, ...]:
    """Every address that shares of [start, end), unix seconds, went to."""
    rows = await analysis.rows(_ADDRESSES, {"start": start, "end": end})
    return tuple(
        PoolAddress(label, pool, accepted, rejected, first_ms / 1000, last_ms / 1000)
        for label, pool, accepted, rejected, first_ms, last_ms in rows
    )
