"""Questions about the shares of a period: sums, timelines, spread of difficulty, heat map, and the shares themselves.

These may take longer than what a page asks all the time, so they have a connection and limits of their own: on time,
memory, rows, and on how many run at once, so that they leave room for everybody else's. A caller that is cancelled has
its query cancelled.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from services.warehouse.client import Connection, answered_within, cancellation_kept
from services.warehouse.results import HASHES_PER_DIFFICULTY
from services.warehouse.share_figures import (
    ColdDays,
    DifficultySpread,
    HeatMap,
    HeatRow,
    ListedShare,
    ShareCursor,
    SharePage,
    ShareSums,
    Step,
    Timeline,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.share_query import ShareQuery

DEADLINE_SECONDS: Final = 15
_AT_ONCE: Final = 3
MOST_ROWS: Final = 100_000
LIMITS: Final = {
    "max_memory_usage": 2 << 30,
    "max_result_rows": MOST_ROWS,
    "result_overflow_mode": "throw",
}
MOST_BINS: Final = 128
# For what is asked of the period as a whole: any roll-up will do.
_WHOLE_STEP: Final = 86_400
COLD_DISKS: Final = (
    "SELECT arrayJoin(disks) FROM system.storage_policies WHERE policy_name = 'tiered' AND volume_name = 'cold'"
)
_SUMS: Final = """\
SELECT sum(accepted), sumMap(refused), sum(credited), max(best), toUnixTimestamp64Milli(max(last)),
    uniqExact(worker), uniqExact(pool_label)
FROM (
{rows}
)"""
_TIMELINE: Final = """\
SELECT intDiv(toInt64(at) - {{first:Int64}}, {{step:Int64}}) AS number, sum(accepted), sumMap(refused), sum(credited),
    sum(squares)
FROM (
{rows}
)
GROUP BY number"""
_HEAT: Final = """\
SELECT worker, sum(credited) AS total, sumMap(map(intDiv(toInt64(at) - {{first:Int64}}, {{step:Int64}}), credited))
FROM (
{rows}
)
WHERE accepted > 0
GROUP BY worker ORDER BY total DESC, worker LIMIT {{most:UInt32}}"""
_SPREAD: Final = """\
SELECT bin, count(), sum(asked / actual) FROM
(
    SELECT greatest(s.pool_difficulty, {{least:Float64}}) AS asked, s.actual_difficulty AS actual,
        toInt32(greatest(0, floor(log2(actual / asked)))) AS bin
    FROM shares AS s WHERE {condition} AND s.verdict = 'accepted' AND s.pool_difficulty > 0 AND s.actual_difficulty > 0
)
WHERE bin < {{bins:Int32}} GROUP BY bin"""
# The order is that of time alone; with the key's first column before it, the newest granules are read and no more.
_PAGE: Final = """\
SELECT toUnixTimestamp64Milli(s.ts), toString(s.segment), s.seq, s.worker, s.pool_label, s.pool, s.miner,
    s.verdict = 'accepted', s.reason, s.pool_requested_difficulty, s.pool_difficulty, s.actual_difficulty, s.block_hash,
    _disk_name IN ({cold})
FROM shares AS s WHERE {condition}
ORDER BY toStartOfTenMinutes(s.ts) DESC, s.ts DESC, s.segment DESC, s.seq DESC
LIMIT {{most:UInt32}}"""
_AFTER: Final = (
    " AND s.ts <= fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC') AND (s.ts, s.segment, s.seq) <"
    " (fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC'), toUUID({after_segment:String}), {after_seq:UInt64})"
)
_COLD: Final = """\
SELECT min(partition), max(partition), sum(rows), sum(bytes_on_disk) FROM system.parts
WHERE active AND database = currentDatabase() AND table = 'shares' AND disk_name IN ({cold})
    AND partition >= {{first:String}} AND partition <= {{last:String}}"""


class Analysis:
    """Reads from ClickHouse. Every method raises StoreUnavailable where it has no answer within DEADLINE_SECONDS."""

    def __init__(self, address: ClickHouseAddress, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._connection = Connection(address, timeout_seconds=deadline_seconds + 1)
        self._deadline_seconds = deadline_seconds
        # The server gives up as well, so that a query nobody waits for does not go on.
        self._settings = {**LIMITS, "max_execution_time": math.ceil(deadline_seconds)}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        await self._connection.close()

    async def sums(self, query: ShareQuery) -> ShareSums:
        """All shares together."""
        rows, bound = query.rows(_WHOLE_STEP)
        ((accepted, refused, credited, best, last_ms, workers, pools),) = await self.rows(
            _SUMS.format(rows=rows), bound
        )
        return ShareSums(
            query.seconds, accepted, _sorted(refused), credited, best, max(0, last_ms) / 1000, workers, pools
        )

    async def timeline(self, query: ShareQuery, step_seconds: int) -> Timeline:
        """Steps that cover the period. Raises ValueError for more of them than MOST_ROWS."""
        first, count = _steps(query, step_seconds)
        rows, bound = query.rows(step_seconds)
        found = {
            number: Step(accepted, _sorted(refused), credited, squares)
            for number, accepted, refused, credited, squares in await self.rows(
                _TIMELINE.format(rows=rows), {"first": first, "step": step_seconds, **bound}
            )
        }
        steps = tuple(found.get(number, Step()) for number in range(count))
        return Timeline(first, step_seconds, (query.start, query.end), steps)

    async def heat(self, query: ShareQuery, step_seconds: int, *, most: int = 40) -> HeatMap:
        """Hash rate by worker and step, of the `most` workers with the greatest sum of credited difficulty."""
        first, count = _steps(query, step_seconds)
        rows, bound = query.rows(step_seconds)
        found = await self.rows(_HEAT.format(rows=rows), {"first": first, "step": step_seconds, "most": most, **bound})
        frame = Timeline(first, step_seconds, (query.start, query.end), ())
        scale = [HASHES_PER_DIFFICULTY / max(1, frame.seconds(number)) for number in range(count)]
        return HeatMap(
            first,
            step_seconds,
            tuple(
                HeatRow(worker, tuple(cells[n] * scale[n] if n in cells else None for n in range(count)))
                for worker, _, cells in found
            ),
        )

    async def spread(self, query: ShareQuery) -> DifficultySpread:
        """How the actual difficulty of accepted shares spreads above what was asked of them.

        What is asked is the credited difficulty, or the query's least actual difficulty where that is greater.
        """
        condition, bound = query.condition()
        found = await self.rows(
            _SPREAD.format(condition=condition), {"least": query.min_difficulty, "bins": MOST_BINS, **bound}
        )
        counts = {number: count for number, count, _ in found}
        total = sum(counts.values())
        if not total:
            return DifficultySpread()
        return DifficultySpread(
            tuple(counts.get(number, 0) for number in range(max(counts) + 1)), sum(row[2] for row in found) / total
        )

    async def page(self, query: ShareQuery, after: ShareCursor | None = None, *, most: int = 100) -> SharePage:
        """The newest shares, or those that follow a page that ended at `after`."""
        condition, bound = query.condition()
        if after is not None:
            condition += _AFTER
            bound |= {"after_ms": after.ts_ms, "after_segment": after.segment, "after_seq": after.seq}
        found = await self.rows(_PAGE.format(condition=condition, cold=COLD_DISKS), {"most": most + 1, **bound})
        shares = tuple(_listed(row) for row in found)
        return SharePage(shares[:most], shares[most - 1].cursor if len(shares) > most else None)

    async def cold_days(self, query: ShareQuery) -> ColdDays | None:
        """What of the period's days lies on volume `cold`; None if nothing does. Reads no share."""
        ((first, last, rows, size),) = await self.rows(
            _COLD.format(cold=COLD_DISKS), {"first": _day(query.start), "last": _day(query.end - 1)}
        )
        return ColdDays(first, last, rows, size) if rows else None

    async def rows(self, sql: str, bound: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """The rows of one SELECT. Raises StoreUnavailable."""
        with answered_within(self._deadline_seconds):
            async with asyncio.timeout(self._deadline_seconds), self._places:
                client = await self._connection.client()
                with cancellation_kept():
                    result = await client.query(sql, parameters=bound, settings=self._settings)
                rows: Sequence[Sequence[Any]] = result.result_rows
                return rows


def _steps(query: ShareQuery, step_seconds: int) -> tuple[int, int]:
    """Where the first step begins, and how many cover the period."""
    first = query.start // step_seconds * step_seconds
    count = -(-(query.end - first) // step_seconds)
    if count > MOST_ROWS:
        raise ValueError(f"{count} steps of {step_seconds} s; at most {MOST_ROWS} can be asked for")
    return first, count


def _listed(row: Sequence[Any]) -> ListedShare:
    ts_ms, segment, seq, worker, pool_label, pool, miner, accepted, reason, requested, credited, actual, *rest = row
    block_hash, cold = rest
    return ListedShare(
        cursor=ShareCursor(ts_ms, segment, seq),
        worker=worker,
        pool_label=pool_label,
        pool=pool,
        miner=miner,
        accepted=bool(accepted),
        reason=reason,
        pool_requested_difficulty=requested,
        pool_difficulty=credited,
        actual_difficulty=actual,
        block_hash=block_hash,
        cold=bool(cold),
    )


def _sorted(refused: dict[str, int]) -> dict[str, int]:
    return dict(sorted(refused.items()))


def _day(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y%m%d")
