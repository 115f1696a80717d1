"""What the API's questions take over 30 days of shares of 1,000 workers, against the same asked of raw shares alone.

The shares are made inside ClickHouse, a million at a time, and go through the roll-ups as any others do. Every answer
is compared with what the raw table says. 100 million take about 6 GB of disk, and go when it ends; but not with --data,
where they stay: after --minutes of making them it ends, and the next run goes on, or measures once they are all there.
Run: python -m services.bench.share_history [--millions N] [--folder DIR | --data DIR [--minutes N]]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from services.bench.empty_clickhouse import empty_clickhouse
from services.bench.stolen import Stolen
from services.warehouse.client import Connection, StoreUnavailable
from services.warehouse.migrate import migrate
from services.warehouse.proof import SHARE_SQL
from services.warehouse.queries import Queries
from services.warehouse.share_id import ShareId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

T = TypeVar("T")

DAYS, DAY, WORKERS = 30, 86_400, 1000
AT_ONCE = 1_000_000
SIDE_BY_SIDE = 2
SEGMENT = UUID("00000000-0000-4000-8000-000000000001")
WITHOUT_INDEX = f"{SHARE_SQL} SETTINGS use_skip_indexes = 0"
FILL = """\
INSERT INTO shares (ts, segment, seq, proxy, pool_label, pool, miner, worker, verdict, reason, pool_difficulty,
    pool_requested_difficulty, actual_difficulty, job, job_id, extranonce1, extranonce2, version, prevhash, merkle_root,
    ntime, nbits, nonce)
SELECT toDateTime64({start:Int64} + number * {step:Float64}, 3, 'UTC') AS at, toUUID({segment:String}), number,
    'proxy-1', if(rand(2) % {workers:UInt16} % 6 = 0, 'high_diff', 'normal'), 'pool.example:3333',
    concat('10.0.0.1:', toString(40000 + rand(2) % {workers:UInt16})),
    concat('farm.rig', toString(rand(2) % {workers:UInt16})), if(rand(3) % 50 = 0, 'rejected', 'accepted'),
    if(rand(3) % 50 = 0, 'stale', ''), 1024, 1024, 1024 / (rand(4) / 4294967296. + 1e-9),
    reinterpretAsFixedString(toUInt128(intDiv(toUInt32(at), 30))), toString(intDiv(toUInt32(at), 30) % 65536),
    unhex(leftPad(hex(rand(2) % {workers:UInt16}), 8, '0')), unhex(leftPad(hex(number), 16, '0')),
    536870912 + rand(5) % 65536 * 8192, toFixedString(SHA256(toString(intDiv(toUInt32(at), 600))), 32),
    randomFixedString(32), toUInt32(at), 386089497, rand(6)
FROM numbers({first:UInt64}, {count:UInt64})"""
RAW_WORKERS = """\
SELECT worker, count(), sum(pool_difficulty), toUnixTimestamp(max(ts)) FROM shares
WHERE verdict = 'accepted' AND ts >= toDateTime64({start:Int64}, 3, 'UTC') AND ts < toDateTime64({end:Int64}, 3, 'UTC')
GROUP BY worker ORDER BY worker"""
RAW_SUMS = """\
SELECT count(), sum(pool_difficulty), sum(actual_difficulty) FROM shares WHERE verdict = 'accepted'
AND ts >= toDateTime64({start:Int64}, 3, 'UTC') AND ts < toDateTime64({end:Int64}, 3, 'UTC')"""


async def fill(client: AsyncClient, start: int, rows: int, seconds: float) -> bool:
    """Evenly over the 30 days from `start`, with progress, from where an earlier run stopped; False if time is up."""
    began = time.monotonic()
    stored = int((await client.query("SELECT count() FROM shares")).result_rows[0][0])
    if stored % AT_ONCE and stored != rows:
        raise RuntimeError(
            f"{stored:,} shares are there, so a run was killed as it made some: begin with an empty folder"
        )
    made = itertools.count(stored, AT_ONCE)

    async def make() -> None:
        while (first := next(made)) < rows and time.monotonic() - began < seconds:
            bound = {
                "start": start,
                "step": DAYS * DAY / rows,
                "segment": str(SEGMENT),
                "workers": WORKERS,
                "first": first,
                "count": min(AT_ONCE, rows - first),
            }
            await client.command(FILL, parameters=bound, settings={"max_partitions_per_insert_block": 0})
            done = min(rows, first + AT_ONCE)
            rate = (done - stored) / (time.monotonic() - began)
            print(f"  {done:>12,} shares, {rate:,.0f} a second, {(rows - done) / rate:,.0f} s to go", flush=True)

    await asyncio.gather(*(make() for _ in range(SIDE_BY_SIDE)))
    if int((await client.query("SELECT count() FROM shares")).result_rows[0][0]) != rows:
        return False
    for table in ("shares_10m", "shares_1h", "shares_1d"):
        await client.command(f"OPTIMIZE TABLE {table} FINAL")
    return True


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds, and what the host stole meanwhile, in percent."""

    p50: float
    p95: float
    stolen: float


async def times_of(ask: Callable[[], Awaitable[Any]], times: int) -> Times:
    taken = []
    stolen = Stolen()
    for _ in range(times):
        began = time.perf_counter()
        try:
            await ask()
            taken.append((time.perf_counter() - began) * 1000)
        except StoreUnavailable:
            taken.append(math.inf)
    taken.sort()
    return Times(statistics.median(taken), taken[math.ceil(0.95 * times) - 1], stolen.percent())


async def answered(ask: Callable[[], Awaitable[T]]) -> T:
    """A machine with other work may not answer within what a page may wait; that is no matter where answers count."""
    for _ in range(50):
        try:
            return await ask()
        except StoreUnavailable:
            await asyncio.sleep(0.5)
    return await ask()


async def check(client: AsyncClient, queries: Queries, start: int, now: int) -> None:
    """Raises RuntimeError where an answer is not what the raw table says."""
    raw = await client.query(RAW_WORKERS, parameters={"start": start, "end": now})
    period = await answered(lambda: queries.worker_period(start, now))
    found = [(one.worker, one.sums.shares, one.sums.credited, one.last_share) for one in period]
    if found != list(map(tuple, raw.result_rows)):
        raise RuntimeError("the 30 days differ from the raw table")
    stats = await answered(lambda: queries.pool_stats(now, None))
    midnight = now - now % DAY
    for sums, begin, end in (
        (stats.last_5m, now - 300, now),
        (stats.last_60m, now - 3_600, now),
        (stats.last_24h, now - DAY, now),
        (stats.yesterday, midnight - DAY, midnight),
    ):
        ((shares, credited, actual),) = (
            await client.query(RAW_SUMS, parameters={"start": begin, "end": end})
        ).result_rows
        if (sums.shares, sums.credited) != (shares, credited) or not math.isclose(sums.actual, actual, rel_tol=1e-9):
            raise RuntimeError(f"a window of {sums.seconds} s differs from the raw table")
    workers = await answered(lambda: queries.worker_stats(now))
    if (
        sum(one.last_24h.shares for one in workers) != stats.last_24h.shares
        or len(workers) != stats.ok_workers + stats.off_workers
    ):
        raise RuntimeError("the workers' 24 h do not add up to the pool's")


async def beginning(client: AsyncClient) -> int:
    """When the 30 days begin: before the middle of today, or where an earlier run has them begin."""
    found = await client.query("SELECT count(), toUnixTimestamp(min(ts)) FROM shares")
    count, first = found.result_rows[0]
    return int(first) if count else int(time.time()) // DAY * DAY + DAY // 2 + 1234 - DAYS * DAY


async def measure(address: ClickHouseAddress, millions: float, times: int, minutes: float) -> bool:
    await migrate(address)
    connection = Connection(address, timeout_seconds=1200)
    client, queries = await connection.client(), Queries(address)
    start = await beginning(client)
    now = start + DAYS * DAY
    if not await fill(client, start, int(millions * 1e6), 60 * minutes):
        print("  not all of them yet: run it again")
        await connection.close()
        return True
    await check(client, queries, start, now)
    print("  every answer equals the raw table's")
    raw = []
    for _ in range(3):
        began = time.perf_counter()
        await client.query(RAW_WORKERS, parameters={"start": start, "end": now})
        raw.append((time.perf_counter() - began) * 1000)
    raw_ms = statistics.median(raw)
    trivial = await times_of(lambda: client.query("SELECT 1"), times)
    # Nobody asks for one second twice, and ClickHouse remembers what it found for a condition.
    back = itertools.count()
    results = {
        "pool/stats": (await times_of(lambda: queries.pool_stats(now - next(back), None), times), 50),
        "workers/stats": (await times_of(lambda: queries.worker_stats(now - next(back)), times), 50),
        "30 days, every worker": (await times_of(lambda: queries.worker_period(start, now - next(back)), times), 100),
    }
    numbers = random.Random(1).choices(range(int(millions * 1e6)), k=2 * times)
    one = await times_of(lambda: queries.share_proof(ShareId(SEGMENT, numbers.pop())), times)
    scan = await times_of(lambda: client.query(WITHOUT_INDEX, parameters={"seq": numbers.pop(), "segment": SEGMENT}), 3)
    print(f"  {'30 days, raw shares':<24} {raw_ms:>9.1f} ms\n  {'SELECT 1':<24} {_told(trivial)}")
    for name, (took, target) in results.items():
        print(f"  {name:<24} {_told(took)}; target {target}; {took.p95 / trivial.p95:.1f} x SELECT 1")
    print(f"  {'a share by its id':<24} {_told(one)}; {scan.p95 / one.p95:.0f} x faster than without indexes")
    ratio = raw_ms / results["30 days, every worker"][0].p95
    print(f"  {'raw shares take':<24} {ratio:>9.1f} times as long over the 30 days (target: 25 or more)")
    await queries.close()
    await connection.close()
    return ratio >= 25


def _told(times: Times) -> str:
    return f"{times.p95:>9.1f} ms at the 95th percentile, {times.p50:.1f} median, {times.stolen:.1f} % stolen"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, default=100)
    parser.add_argument("--times", type=int, default=40)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--folder", type=Path, default=None, help="where the shares lie meanwhile")
    where.add_argument("--data", type=Path, default=None, help="a folder of ClickHouse's data that stays")
    parser.add_argument("--minutes", type=float, default=math.inf, help="with --data: of making shares, in one run")
    arguments = parser.parse_args()
    with empty_clickhouse(core=None, within=arguments.folder, data=arguments.data) as address:
        good = asyncio.run(measure(address, arguments.millions, arguments.times, arguments.minutes))
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
