"""The readers' queries: typed results, names bound as parameters, an answer or an error in 2 s.

Every window is half open and ends at `now` (unix seconds, exclusive): what was submitted in the second that has just
begun counts from the next one on. Only accepted shares count, unless a field is named for rejected ones.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from services.warehouse.audit_record import LAST_AUDIT_SQL, AuditSummary, audit_summary
from services.warehouse.bounds import read_bounds
from services.warehouse.client import Connection, StoreUnavailable, Trouble, cancellation_kept, ended_within
from services.warehouse.feed_steps import FEED_SQL, feed_steps
from services.warehouse.live import SETTINGS as LIVE_SETTINGS
from services.warehouse.live import LiveRows, live_rows, live_sql, miner_row
from services.warehouse.proof import JOB_SQL, SHARE_SQL, ShareProof, job_of, share_of
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
    WorkerPeriod,
    WorkerStats,
)
from services.warehouse.share_id import ShareId
from services.warehouse.share_query import ShareQuery
from services.warehouse.share_rows import share_filters
from services.warehouse.share_sample import (
    COUNTS_SQL,
    JOBS_SQL,
    SAMPLE_SQL,
    SAMPLED_SQL,
    WITHIN_SQL,
    count_step,
    marks_to_sample,
)
from services.warehouse.sums import DAY_SECONDS, sums_by_worker, sums_over_all, worker_table
from services.warehouse.sums import SETTINGS as SUMS_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.feed_steps import FeedStep

__all__ = [
    "DAY_SECONDS",
    "OK_SECONDS",
    "AuditSummary",
    "HashRateSeries",
    "LiveRows",
    "MinerRow",
    "MinerTotals",
    "PoolStats",
    "ProxyPool",
    "ProxyRow",
    "Queries",
    "SessionRow",
    "ShareProof",
    "StoreUnavailable",
    "Trouble",
    "WindowSums",
    "WorkerPeriod",
    "WorkerStats",
]

_DEADLINE_SECONDS: Final = 1.8
_CONNECT_SECONDS: Final = 1.0
# Of the windows of a pool's figures, the one by which workers and pools are counted.
_DAY_WINDOW: Final = 2
_SETTINGS: Final = read_bounds(_DEADLINE_SECONDS)


class Queries:
    """Reads from ClickHouse. Every method raises StoreUnavailable within 2 s where it cannot answer."""

    def __init__(self, address: ClickHouseAddress) -> None:
        self._connection = Connection(
            address, connect_timeout_seconds=_CONNECT_SECONDS, timeout_seconds=_DEADLINE_SECONDS + 0.2
        )

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
        filters, bound = share_filters(pool, None)
        sql, moments = sums_over_all(windows, _DAY_WINDOW, now - OK_SECONDS, filters)
        ((*sums, seen, ok, pools),) = await self._rows(sql, {**bound, **moments}, SUMS_SETTINGS)
        last_5m, last_60m, last_24h, yesterday = _window_sums(windows, sums)
        return PoolStats(last_5m, last_60m, last_24h, yesterday, ok, seen - ok, tuple(pools))

    async def worker_stats(self, now: int, worker: str | None = None, pool: str | None = None) -> list[WorkerStats]:
        """Workers with an accepted share in the last 24 h, by name; of the one named, of the pool named, or all."""
        windows = [(now - 300, now), (now - 3_600, now), (now - DAY_SECONDS, now)]
        filters, bound = share_filters(pool, worker)
        sql, moments = sums_by_worker(windows, filters)
        rows = await self._rows(sql, {**bound, **moments}, SUMS_SETTINGS)
        # Written out: by _window_sums it takes five times as long, while all who ask wait.
        return [
            WorkerStats(
                name,
                _is_ok(last_ms, now),
                last_ms // 1000,
                WindowSums(300, n5, credited5, actual5),
                WindowSums(3_600, n60, credited60, actual60),
                WindowSums(DAY_SECONDS, n24, credited24, actual24),
            )
            for name, n5, credited5, actual5, n60, credited60, actual60, n24, credited24, actual24, last_ms in rows
        ]

    async def worker_period(self, start: int, end: int) -> list[WorkerPeriod]:
        """Workers with an accepted share in [start, end), unix seconds, by name."""
        windows = [(start, end)]
        return [
            WorkerPeriod(name, _is_ok(last_ms, end), last_ms // 1000, *_window_sums(windows, sums))
            for name, *sums, last_ms in await self._rows(*sums_by_worker(windows, ""), SUMS_SETTINGS)
        ]

    async def miners(self, now: int) -> list[MinerRow]:
        """Every (worker, pool label) that submitted a share in the last 24 h, accepted or not."""
        return [miner_row(row, now) for row in await self._rows(*worker_table(now), SUMS_SETTINGS)]

    async def live(self, now: int, *, alive_seconds: int = ALIVE_SECONDS) -> LiveRows:
        """`miners`, `sessions` that last and `proxies` in one statement."""
        sql, moments = live_sql(now)
        bound = {**sessions_bound(now, 0, alive_seconds), **moments}
        return live_rows(await self._rows(sql, bound, LIVE_SETTINGS), now, alive_seconds)

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

    async def feed_steps(self, start: int, end: int) -> list[FeedStep]:
        """What happened in [start, end), both multiples of STEP_SECONDS, step by step, as the live feed tells it."""
        return feed_steps(start, end, await self._rows(FEED_SQL, {"start": start, "end": end}))

    async def last_audit(self) -> AuditSummary | None:
        """The audit that was begun last, of those that came to their end; None before the first."""
        rows = await self._rows(LAST_AUDIT_SQL, {})
        return audit_summary(rows[0]) if rows else None

    async def share_proof(self, share_id: ShareId) -> ShareProof | None:
        """A share with the job that it was made for, and what follows from the two; None where it is not stored."""
        bound = {"segment": str(share_id.segment), "seq": share_id.seq}
        async with ended_within(_DEADLINE_SECONDS):
            rows = await self._rows(SHARE_SQL, bound)
            if not rows:
                return None
            share = share_of(rows[0])
            jobs = await self._rows(JOB_SQL, {"job": share.job.hex()})
        return ShareProof(share_id, share, job_of(share.job, jobs[0]) if jobs else None)

    async def share_sample(self, start: int, end: int, most: int, seed: int) -> list[ShareProof]:
        """Up to `most` accepted shares of [start, end), unix seconds, chosen by `seed`; the oldest first."""
        async with ended_within(_DEADLINE_SECONDS):
            step = count_step(end - start)
            rows, bound = ShareQuery(start, end, verdict="accepted").rows(step)
            counts = await self._rows(COUNTS_SQL.format(rows=rows, step=step), bound)
            marks = marks_to_sample([(begin, count) for begin, count in counts], step, seed)
            bound = {"start": start, "end": end, "most": most, "seed": seed} | ({"marks": marks} if marks else {})
            chosen = await self._rows(SAMPLE_SQL.format(within=WITHIN_SQL if marks else ""), bound)
            if not chosen:
                return []
            moments, segments, numbers = zip(*chosen, strict=True)
            bound = {"moments": sorted(set(moments)), "segments": list(segments), "numbers": list(numbers)}
            found = await self._rows(SAMPLED_SQL, bound)
            shares = {ShareId(UUID(segment), seq): share_of(row) for segment, seq, *row in found}
            keys = sorted({share.job.hex() for share in shares.values()})
            found = await self._rows(JOBS_SQL, {"jobs": keys})
        jobs = {key: job_of(key, row) for key, row in ((bytes.fromhex(name), row) for name, *row in found)}
        return [ShareProof(share_id, share, jobs.get(share.job)) for share_id, share in shares.items()]

    async def _rows(
        self, sql: str, parameters: dict[str, Any], settings: Mapping[str, Any] = MappingProxyType({})
    ) -> Sequence[Sequence[Any]]:
        async with ended_within(_DEADLINE_SECONDS):
            client = await self._connection.client()
            with cancellation_kept():
                result = await client.query(sql, parameters=parameters, settings={**_SETTINGS, **settings})
            rows: Sequence[Sequence[Any]] = result.result_rows
            return rows


_SERIES: Final = """\
SELECT intDiv(toUnixTimestamp(s.ts) - {{start:Int64}}, {{step:Int64}}) AS step, sum(s.pool_difficulty)
FROM shares AS s
WHERE s.ts >= toDateTime64({{start:Int64}}, 3, 'UTC') AND s.ts < toDateTime64({{end:Int64}}, 3, 'UTC')
    AND s.verdict = 'accepted'{filters}
GROUP BY step"""


def _window_sums(windows: Sequence[tuple[int, int]], sums: Sequence[Any]) -> list[WindowSums]:
    return [WindowSums(end - start, *sums[3 * n : 3 * n + 3]) for n, (start, end) in enumerate(windows)]


def _is_ok(last_share_ms: int, now: int) -> bool:
    return last_share_ms > (now - OK_SECONDS) * 1000
