"""What the readers' queries take over a day of several million shares, against reading those raw, and a trivial SELECT.

Everything goes through the same client in one run; the references are `SELECT 1` (what any question costs) and the
dashboard's table asked of raw shares alone (what the roll-ups spare). The same queries over 60 shares show what their
text costs. The figure is the best of several, as other load on the machine only adds.
Run: python -m services.bench.page_queries [--millions N]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from services.bench.empty_clickhouse import empty_clickhouse
from services.warehouse.analysis import Analysis
from services.warehouse.client import Connection
from services.warehouse.day_history import day_before, hourly_rates
from services.warehouse.migrate import migrate
from services.warehouse.queries import DAY_SECONDS, Queries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

MILLION = 1_000_000
WORKERS = 1000
DASHBOARD_SECONDS = 2.0
FILL = """\
INSERT INTO shares (ts, segment, seq, proxy, pool_label, pool, miner, worker, verdict, reason, pool_difficulty,
    pool_requested_difficulty, actual_difficulty, merkle_root, nonce)
SELECT toDateTime64({now:Int64} - (number + 0.5) * 86400 / {rows:UInt64}, 3, 'UTC'), generateUUIDv4(1), number,
    'proxy-1', if(rand(1) % 6 = 0, 'high_diff', 'normal'), 'pool.example:3333',
    concat('10.0.0.1:', toString(rand(2) % {workers:UInt16})),
    concat('farm.rig', toString(rand(2) % {workers:UInt16})), if(rand(3) % 50 = 0, 'rejected', 'accepted'),
    if(rand(3) % 50 = 0, 'stale', ''), 1024, 1024, 1024 / (rand(4) / 4294967296. + 1e-9), randomFixedString(32), rand(5)
FROM numbers({first:UInt64}, {count:UInt64})"""
RAW_TABLE = """\
SELECT worker, pool_label, countIf(verdict = 'accepted'),
    sumMapIf(map(toString(reason), toUInt64(1)), verdict = 'rejected'),
    sumIf(pool_difficulty, verdict = 'accepted' AND ts >= toDateTime64({now:Int64} - 300, 3, 'UTC')),
    sumIf(pool_difficulty, verdict = 'accepted' AND ts >= toDateTime64({now:Int64} - 3600, 3, 'UTC')),
    maxIf(ts, verdict = 'accepted'), maxIf(actual_difficulty, verdict = 'accepted')
FROM shares
WHERE ts >= toDateTime64({now:Int64} - 86400, 3, 'UTC') AND ts < toDateTime64({now:Int64}, 3, 'UTC')
GROUP BY worker, pool_label ORDER BY worker, pool_label"""


async def fill(address: ClickHouseAddress, now: int, rows: int, workers: int) -> AsyncClient:
    """A database with `rows` shares, evenly over the day before `now`; gives a client that works in it."""
    await migrate(address)
    client = await Connection(address).client()
    step = min(rows, MILLION // 2)
    for first in range(0, rows, step):
        bound = {"now": now, "rows": rows, "workers": workers, "first": first, "count": min(step, rows - first)}
        await client.command(FILL, parameters=bound)
    return client


async def best_ms(ask: Callable[[], Awaitable[Any]], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        taken.append(time.perf_counter() - began)
    return min(taken) * 1000


async def measure(name: str, address: ClickHouseAddress, client: AsyncClient, now: int, times: int) -> None:
    queries, analysis = Queries(address), Analysis(address)
    trivial = await best_ms(lambda: client.query("SELECT 1"), 5 * times)
    raw = await best_ms(lambda: client.query(RAW_TABLE, parameters={"now": now}), max(2, times // 4))
    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "dashboard: miners": lambda: queries.miners(now),
        "dashboard: all of Live": lambda: queries.live(now),
        "dashboard: yesterday": lambda: day_before(analysis, now),
        "dashboard: bars of 24 h": lambda: hourly_rates(analysis, now // 600 * 600),
        "dashboard: chart": lambda: queries.hash_rate_series(now),
        "API: pool/stats": lambda: queries.pool_stats(now, None),
        "API: workers/stats": lambda: queries.worker_stats(now),
    }
    print(f"{name}\n  {'SELECT 1':<24} {trivial:>8.1f} ms\n  {'miners, raw shares':<24} {raw:>8.1f} ms")
    for what, ask in asked.items():
        took = await best_ms(ask, times)
        print(f"  {what:<24} {took:>8.1f} ms  {took / trivial:>6.1f} x SELECT 1  {took / raw:>7.3f} x raw")
    await queries.close()
    await analysis.close()
    await client.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, default=7, help="shares in 24 h, in millions")
    parser.add_argument("--times", type=int, default=11)
    arguments = parser.parse_args()
    with empty_clickhouse(core=0) as large:
        now = int(time.time())
        small = replace(large, database="small")
        await measure("60 shares of one worker", small, await fill(small, now, 60, 1), now, arguments.times)
        client = await fill(large, now, arguments.millions * MILLION, WORKERS)
        name = f"{arguments.millions} million shares of {WORKERS} workers in {DAY_SECONDS // 3600} h"
        await measure(name, large, client, now, arguments.times)
    print(f"(the dashboard asks every {DASHBOARD_SECONDS:g} s, and gives up after 1.8 s)")


if __name__ == "__main__":
    asyncio.run(main())
