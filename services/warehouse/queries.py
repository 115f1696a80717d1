"""The readers' queries, and all SQL that reads shares: typed results, parameters bound, an answer or an error in 2 s.

Every window is half open and ends at `now` (unix seconds, exclusive): what was submitted in the second that has just
begun counts from the next one on. Only accepted shares count, unless a field is named for rejected ones.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from services.warehouse.client import Connection, StoreUnavailable, cancellation_kept
from services.warehouse.proxies import (
    ALIVE_SECONDS,
    PROXIES_SQL,
    SESSIONS_SQL,
    ProxyPool,
    ProxyRow,
    SessionRow,
    proxy_row,
    session_row,
    sessions_bound,
)
from services.warehouse.results import (
    HASHES_PER_DIFFICULTY,
    OK_SECONDS,
    HashRateSeries,
    MinerRow,
    MinerTotals,
    PoolStats,
    WindowSums,
    WorkerStats,
)
from services.warehouse.sums import share_filters, sums_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.sums import Key

__all__ = [
    "HashRateSeries",
    "MinerRow",
    "MinerTotals",
    "PoolStats",
    "ProxyPool",
    "ProxyRow",
    "Queries",
    "SessionRow",
    "StoreUnavailable",
    "WindowSums",
    "WorkerStats",
]

DAY_SECONDS: Final = 86_400
_DEADLINE_SECONDS: Final = 1.8
# The server gives up as well, so that a query nobody waits for does not go on.
_SETTINGS: Final = {"max_execution_time": 2}


class Queries:
    """Reads from ClickHouse. Every method raises StoreUnavailable within 2 s where it cannot answer."""

    def __init__(self, address: ClickHouseAddress) -> None:
        self._connection = Connection(address, connect_timeout_seconds=1, timeout_seconds=2)

    async def open(self) -> None:
        """Connects if ClickHouse is there; if not, the first query does."""
        await self.ping()

    async def close(self) -> None:
        await self._connection.close()

    async def ping(self) -> bool:
        """Whether ClickHouse answers."""
        try:
            await self._rows("SELECT 1", {})
        except StoreUnavailable:
            return False
        return True

    async def pool_stats(self, now: int, pool: str | None) -> PoolStats:
        """Sums over all workers of the pool named (its label), or of every pool. An unknown pool: zeros."""
        midnight = now - now % DAY_SECONDS
        windows = [(now - 300, now), (now - 3_600, now), (now - DAY_SECONDS, now), (midnight - DAY_SECONDS, midnight)]
        by_pool, by_worker = await asyncio.gather(
            self._sums(windows, "pool_label", pool=pool), self._sums(windows[2:3], "worker", pool=pool)
        )
        last_5m, last_60m, last_24h, yesterday = (
            WindowSums(
                end - start,
                sum(sums[index].shares for _, sums, _ in by_pool),
                sum(sums[index].credited for _, sums, _ in by_pool),
                sum(sums[index].actual for _, sums, _ in by_pool),
            )
            for index, (start, end) in enumerate(windows)
        )
        ok = sum(_is_ok(last_ms, now) for _, _, last_ms in by_worker)
        pools = tuple(name for name, _, _ in by_pool)
        return PoolStats(last_5m, last_60m, last_24h, yesterday, ok, len(by_worker) - ok, pools)

    async def worker_stats(self, now: int, worker: str | None = None, pool: str | None = None) -> list[WorkerStats]:
        """Workers with an accepted share in the last 24 h, by name; of the one named, of the pool named, or all."""
        windows = [(now - 300, now), (now - 3_600, now), (now - DAY_SECONDS, now)]
        return [
            WorkerStats(name, _is_ok(last_ms, now), last_ms // 1000, *sums)
            for name, sums, last_ms in await self._sums(windows, "worker", pool=pool, worker=worker)
        ]

    async def miners(self, now: int) -> list[MinerRow]:
        """Every (worker, pool label, miner's address) that submitted a share in the last 24 h, accepted or not."""
        rows = await self._rows(_MINERS, {"now": now})
        return [
            MinerRow(
                worker=row[0],
                pool_label=row[1],
                miner=row[2],
                pool=row[3],
                accepted=row[4],
                rejected_by_reason=dict(sorted(row[5].items())),
                hash_rate_5m=row[6] * HASHES_PER_DIFFICULTY / 300,
                hash_rate_60m=row[7] * HASHES_PER_DIFFICULTY / 3_600,
                pool_requested_difficulty=row[8],
                difficulty=row[9],
                last_share=row[10] / 1000,
                best_share=row[11],
                ok=_is_ok(row[10], now),
            )
            for row in rows
        ]

    async def proxies(self, now: int, *, alive_seconds: int = ALIVE_SECONDS) -> list[ProxyRow]:
        """Every process of a proxy that told of itself in the last 24 h, by name, the latest first."""
        return [proxy_row(row, now, alive_seconds) for row in await self._rows(PROXIES_SQL, {"now": now})]

    async def sessions(
        self, now: int, *, ended_within_seconds: int = 0, alive_seconds: int = ALIVE_SECONDS
    ) -> list[SessionRow]:
        """Miners' connections that last, and those that ended in the last `ended_within_seconds`; the oldest first.

        At most MOST_SESSIONS of them.
        """
        bound = sessions_bound(now, ended_within_seconds, alive_seconds)
        return [session_row(row) for row in await self._rows(SESSIONS_SQL, bound)]

    async def hash_rate_series(
        self, now: int, *, seconds: int = 3_600, step_seconds: int = 60, pool: str | None = None
    ) -> HashRateSeries:
        """Hash rate of the whole steps before `now`; steps stand on multiples of `step_seconds`."""
        end = now - now % step_seconds
        start = end - seconds
        filters, bound = share_filters(pool, None)
        rows = await self._rows(
            _SERIES.format(filters=filters), {"start": start, "end": end, "step": step_seconds, **bound}
        )
        credited: dict[int, float] = {row[0]: row[1] for row in rows}
        return HashRateSeries(
            start,
            step_seconds,
            tuple(
                credited.get(step, 0.0) * HASHES_PER_DIFFICULTY / step_seconds
                for step in range(seconds // step_seconds)
            ),
        )

    async def _sums(
        self, windows: Sequence[tuple[int, int]], key: Key, *, pool: str | None, worker: str | None = None
    ) -> list[tuple[str, list[WindowSums], int]]:
        """By key: the sums of each window, and the last share in unix ms."""
        return [
            (
                str(row[0]),
                [WindowSums(end - start, *row[1 + 3 * n : 4 + 3 * n]) for n, (start, end) in enumerate(windows)],
                int(row[-1]),
            )
            for row in await self._rows(*sums_query(windows, key, pool=pool, worker=worker))
        ]

    async def _rows(self, sql: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                client = await self._connection.client()
                with cancellation_kept():
                    result = await client.query(sql, parameters=parameters, settings=_SETTINGS)
                rows: Sequence[Sequence[Any]] = result.result_rows
                return rows
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer from ClickHouse in {_DEADLINE_SECONDS} s") from error
        except ClickHouseError as error:
            raise StoreUnavailable(str(error), error.code if isinstance(error, Error) else None) from error
        except (OSError, aiohttp.ClientError) as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


_MINERS: Final = """\
SELECT worker, pool_label, miner, argMax(pool, ts), countIf(verdict = 'accepted'),
    sumMapIf(map(toString(reason), toUInt64(1)), verdict = 'rejected'),
    sumIf(pool_difficulty, verdict = 'accepted' AND ts >= toDateTime64({now:Int64} - 300, 3, 'UTC')),
    sumIf(pool_difficulty, verdict = 'accepted' AND ts >= toDateTime64({now:Int64} - 3600, 3, 'UTC')),
    argMax(pool_requested_difficulty, ts), argMax(pool_difficulty, ts),
    toUnixTimestamp64Milli(maxIf(ts, verdict = 'accepted')), maxIf(actual_difficulty, verdict = 'accepted')
FROM shares
WHERE ts >= toDateTime64({now:Int64} - 86400, 3, 'UTC') AND ts < toDateTime64({now:Int64}, 3, 'UTC')
GROUP BY worker, pool_label, miner
ORDER BY worker, pool_label, miner"""
_SERIES: Final = """\
SELECT intDiv(toUnixTimestamp(s.ts) - {{start:Int64}}, {{step:Int64}}) AS step, sum(s.pool_difficulty)
FROM shares AS s
WHERE s.ts >= toDateTime64({{start:Int64}}, 3, 'UTC') AND s.ts < toDateTime64({{end:Int64}}, 3, 'UTC')
    AND s.verdict = 'accepted'{filters}
GROUP BY step"""


def _is_ok(last_share_ms: int, now: int) -> bool:
    return last_share_ms > (now - OK_SECONDS) * 1000
