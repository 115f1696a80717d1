"""What the dashboard's analyses take over a week of ten million shares, against the reading of one raw column of it.

The reference is a sum over one column of all shares of the same period, through the same client in the same run: what
any question of raw shares costs at least. The figure is the best of several, as other load on the machine only adds.
An export's rate and what this process needs for it are told as well. With --data the shares stay, and are drawn only
where there are none yet; --draw does no more than that.
Run: python -m services.bench.analysis_queries [--millions N] [--data DIR [--draw]] [--export-hours N]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from services.bench.empty_clickhouse import empty_clickhouse
from services.bench.generate_shares import bar, generate
from services.warehouse.analysis import Analysis
from services.warehouse.migrate import migrate
from services.warehouse.share_export import ExportFormat, ShareExport
from services.warehouse.share_query import ShareQuery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.warehouse.address import ClickHouseAddress

MILLION: Final = 1_000_000
WEEK: Final = 7 * 86_400
WORKERS: Final = 1000
_RAW: Final = """\
SELECT sum(pool_difficulty) FROM shares
WHERE ts >= toDateTime64({start:Int64}, 3, 'UTC') AND ts < toDateTime64({end:Int64}, 3, 'UTC')"""


async def best_ms(ask: Callable[[], Awaitable[Any]], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        taken.append(time.perf_counter() - began)
    return min(taken) * 1000


async def questions(address: ClickHouseAddress, end: int, times: int) -> None:
    analysis = Analysis(address, deadline_seconds=120)
    week = ShareQuery(end - WEEK, end)
    raw = await best_ms(lambda: analysis.rows(_RAW, {"start": week.start, "end": end}), times)
    print(f"  {'one raw column':<34} {raw:>9.1f} ms")
    hard = ShareQuery(week.start, end, min_difficulty=1e7)
    one = ShareQuery(week.start, end, worker="farm.rack3-07")
    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "sums": lambda: analysis.sums(week),
        "timeline by hour": lambda: analysis.timeline(week, 3600),
        "heat map by hour": lambda: analysis.heat(week, 3600),
        "spread of difficulty": lambda: analysis.spread(week),
        "newest 100 shares": lambda: analysis.page(week, most=100),
        "newest 100 of one worker": lambda: analysis.page(one, most=100),
        "timeline, least difficulty": lambda: analysis.timeline(hard, 3600),
        "newest 100, least difficulty": lambda: analysis.page(hard, most=100),
    }
    for what, ask in asked.items():
        took = await best_ms(ask, times)
        print(f"  {what:<34} {took:>9.1f} ms  {took / raw:>7.2f} x one raw column")
    await analysis.close()


async def exports(address: ClickHouseAddress, end: int, hours: float) -> None:
    asked = ShareQuery(end - int(hours * 3600), end)
    for form in get_args(ExportFormat):
        export = ShareExport(address, asked, form)
        began = time.perf_counter()
        rows = await export.count()
        size = 0
        async for block in export.blocks():
            size += len(block)
        took = time.perf_counter() - began
        print(f"  export {form:<8} {rows:>10,} shares {size / 1e6:>8.0f} MB {rows / took:>10,.0f} shares/s")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  this process needed at most {most:.0f} MiB")


async def drawn_before(address: ClickHouseAddress) -> tuple[int, int]:
    """How many shares there are, and the end of their week, unix seconds."""
    await migrate(address)
    analysis = Analysis(address, deadline_seconds=120)
    ((count, last),) = await analysis.rows("SELECT count(), toUnixTimestamp(max(ts)) FROM shares", {})
    await analysis.close()
    return count, last + 1


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, default=10, help="shares to draw over a week, in millions")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--export-hours", type=float, default=24, help="the last so many of them are exported")
    parser.add_argument("--data", type=Path, default=None, help="a folder of ClickHouse's data that stays")
    parser.add_argument("--draw", action="store_true", help="with --data: ask nothing")
    asked = parser.parse_args()
    with empty_clickhouse(core=0, data=asked.data) as address:
        count, end = await drawn_before(address)
        if not count:
            end = int(time.time())
            drawn = int(asked.millions * MILLION)
            await generate(address, shares=drawn, days=7, workers=WORKERS, end=end, progress=bar)
            count, _ = await drawn_before(address)
        print(f"\n{count:,} shares of {WORKERS} workers, over 7 days")
        if not asked.draw:
            await questions(address, end, asked.times)
            await exports(address, end, asked.export_hours)


if __name__ == "__main__":
    asyncio.run(main())
