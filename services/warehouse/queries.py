"""The readers' queries, and all SQL that reads shares: typed results, parameters bound, an answer or an error in 2 s.

Every window is half open and ends at `now` (unix seconds, exclusive): what was submitted in the second that has just
begun counts from the next one on. Only accepted shares count, unless a field is named for rejected ones.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from services.warehouse.client import Connection, StoreUnavailable
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
from services.warehouse.windows import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.address import ClickHouseAddress

__all__ = [
    "HashRateSeries",
    "MinerRow",
    "MinerTotals",
    "PoolStats",
    "Queries",
    "StoreUnavailable",
    "WindowSums",
    "WorkerStats",
]

DAY_SECONDS: Final = 86_400
_DEADLINE_SECONDS: Final = 1.8
# The server gives up as well, so that a query nobody waits for does not go on.
_SETTINGS: Final = {"max_execution_time": 2}

_RAW = """\
SELECT {{window{n}:UInt8}} AS window, {keys}, count() AS shares, sum(s.pool_difficulty) AS credited,
    sum(s.actual_difficulty) AS actual, max(s.ts) AS last
FROM shares AS s
WHERE s.ts >= toDateTime64({{start{n}:Int64}}, 3, 'UTC') AND s.ts < toDateTime64({{end{n}:Int64}}, 3, 'UTC')
    AND s.verdict = 'accepted'{filters}
GROUP BY {keys}"""
_ROLLED_UP = """\
SELECT {{window{n}:UInt8}} AS window, {keys}, sum(s.accepted) AS shares, sum(s.credited_difficulty) AS credited,
    sum(s.actual_difficulty) AS actual, max(s.last_share) AS last
FROM {source} AS s
WHERE s.bucket >= toDateTime({{start{n}:UInt32}}, 'UTC') AND s.bucket < toDateTime({{end{n}:UInt32}}, 'UTC'){filters}
GROUP BY {keys}
HAVING shares > 0"""


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
                sum(row[2] for row in by_pool if row[0] == index),
                float(sum(row[3] for row in by_pool if row[0] == index)),
                float(sum(row[4] for row in by_pool if row[0] == index)),
            )
            for index, (start, end) in enumerate(windows)
        )
        ok = sum(row[5] > (now - OK_SECONDS) * 1000 for row in by_worker)
        pools = tuple(sorted({row[1] for row in by_pool}))
        return PoolStats(last_5m, last_60m, last_24h, yesterday, ok, len(by_worker) - ok, pools)

    async def worker_stats(self, now: int, worker: str | None = None, pool: str | None = None) -> list[WorkerStats]:
        """Workers with an accepted share in the last 24 h, by name; of the one named, of the pool named, or all."""
        windows = [(now - 300, now), (now - 3_600, now), (now - DAY_SECONDS, now)]
        found: dict[str, list[WindowSums]] = {}
        last_ms: dict[str, int] = {}
        for window, name, shares, credited, actual, last in await self._sums(
            windows, "worker", pool=pool, worker=worker
        ):
            sums = found.setdefault(name, [WindowSums(end - start) for start, end in windows])
            sums[window] = WindowSums(sums[window].seconds, shares, credited, actual)
            last_ms[name] = max(last_ms.get(name, 0), last)
        return [
            WorkerStats(name, last_ms[name] > (now - OK_SECONDS) * 1000, last_ms[name] // 1000, *found[name])
            for name in sorted(found)
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
                ok=row[10] > (now - OK_SECONDS) * 1000,
            )
            for row in rows
        ]

    async def hash_rate_series(
        self, now: int, *, seconds: int = 3_600, step_seconds: int = 60, pool: str | None = None
    ) -> HashRateSeries:
        """Hash rate of the whole steps before `now`; steps stand on multiples of `step_seconds`."""
        end = now - now % step_seconds
        start = end - seconds
        filters, bound = _filters(pool, None)
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
        self, windows: Sequence[tuple[int, int]], key: str, *, pool: str | None, worker: str | None = None
    ) -> list[tuple[int, str, int, float, float, int]]:
        """Per window and key: shares, credited and actual difficulty, last share in unix ms."""
        filters, parameters = _filters(pool, worker)
        selects: list[str] = []
        for window, (start, end) in enumerate(windows):
            for piece in pieces(start, end):
                n = len(selects)
                template = _RAW if piece.source == "shares" else _ROLLED_UP
                selects.append(template.format(n=n, keys=key, source=piece.source, filters=filters))
                parameters |= {f"window{n}": window, f"start{n}": piece.start, f"end{n}": piece.end}
        union = "\nUNION ALL\n".join(selects)
        rows = await self._rows(
            f"SELECT window, {key}, sum(shares), sum(credited), sum(actual), toUnixTimestamp64Milli(max(last))\n"
            f"FROM (\n{union}\n)\nGROUP BY window, {key}",
            parameters,
        )
        return [(int(row[0]), str(row[1]), int(row[2]), float(row[3]), float(row[4]), int(row[5])) for row in rows]

    async def _rows(self, sql: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                client = await self._connection.client()
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


def _filters(pool: str | None, worker: str | None) -> tuple[str, dict[str, Any]]:
    """The further conditions, and their values to be bound."""
    text = ""
    bound: dict[str, Any] = {}
    if pool is not None:
        text += " AND s.pool_label = {pool:String}"
        bound["pool"] = pool
    if worker is not None:
        text += " AND s.worker = {worker:String}"
        bound["worker"] = worker
    return text, bound
