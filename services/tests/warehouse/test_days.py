"""The roll-up by day: exact in a new store, and in one that had shares before it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

from services.tests.warehouse.rows import make_share
from services.tests.warehouse.test_rowbinary import insert
from services.tests.warehouse.test_upgrade import populated
from services.warehouse.client import Connection
from services.warehouse.migrate import migrate
from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.sums import sums_by_worker

if TYPE_CHECKING:
    import random

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


DAY = 86_400
DAYS_SCHEMA = 7


async def spread(client: AsyncClient, generator: random.Random, days: range, today: int) -> None:
    """Shares at random moments of these days, of which 0 is today."""
    encoder = RowEncoder(uuid4())
    moments = [(today + day * DAY) * 1000 + generator.randrange(DAY * 1000) for day in days for _ in range(20)]
    rows = [encoder.share(make_share(generator, ts_ms=ts_ms), seq) for seq, ts_ms in enumerate(moments, 1)]
    await insert(client, Stream.SHARES, b"".join(rows))


async def assert_periods_are_exact(client: AsyncClient, generator: random.Random, today: int) -> None:
    for _ in range(5):
        start = today + generator.randrange(-13 * DAY, 0)
        end = start + generator.randrange(4 * DAY, 13 * DAY)
        raw = await client.query(
            "SELECT worker, count(), sum(pool_difficulty), toUnixTimestamp(max(ts)) FROM shares"
            f" WHERE verdict = 'accepted' AND ts >= toDateTime64({start}, 3, 'UTC')"
            f" AND ts < toDateTime64({end}, 3, 'UTC') GROUP BY worker ORDER BY worker"
        )
        sql, moments = sums_by_worker([(start, end)], "")
        found = await client.query(sql, parameters=moments)
        assert [
            (name, shares, credited, last_ms // 1000) for name, shares, credited, _, last_ms in found.result_rows
        ] == (raw.result_rows)


async def rolled_up(client: AsyncClient, today: int) -> set[int]:
    """The days, counted from today, that the roll-up has."""
    result = await client.query("SELECT DISTINCT toUnixTimestamp(bucket) FROM shares_1d")
    return {(row[0] - today) // DAY for row in result.result_rows}


def midnight() -> int:
    now = int(time.time())
    return now - now % DAY


async def test_a_new_store_rolls_up_every_day(client: AsyncClient, generator: random.Random) -> None:
    today = midnight()
    await spread(client, generator, range(-14, 3), today)
    assert await rolled_up(client, today) == set(range(-14, 3))
    await assert_periods_are_exact(client, generator, today)


async def test_a_store_that_had_shares_begins_with_the_day_after_tomorrow(
    database: ClickHouseAddress, generator: random.Random
) -> None:
    connection = Connection(database)
    client = await connection.client()
    await populated(client, generator, uuid4(), DAYS_SCHEMA - 1)
    today = midnight()
    await spread(client, generator, range(-14, 1), today)
    assert "0007_days" in await migrate(database)
    # What comes later, of days before its beginning and after it.
    await spread(client, generator, range(-3, 9), today)
    begins = await client.query(
        "SELECT intDiv(toUnixTimestamp(max(since)) - {today:Int64}, 86400) FROM shares_1d_since",
        parameters={"today": today},
    )
    since = begins.result_rows[0][0]
    assert since in (2, 3)  # the later one at midnight
    assert set(range(since, 9)) <= await rolled_up(client, today)
    await assert_periods_are_exact(client, generator, today)
    assert await migrate(database) == []
    await connection.close()
