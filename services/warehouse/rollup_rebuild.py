"""Makes the roll-ups of a restored store equal to its shares.

A backup takes one table after the other while shares come in, so that a roll-up in it may be older or younger than
`shares`. Buckets that differ are made anew; nobody may write meanwhile. Days whose shares are not kept any more stay.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from services.warehouse.client import Connection
from services.warehouse.keeping import kept_at, kept_from
from services.warehouse.rollup_repair import COLUMNS, ROLL_UPS

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.rollup_repair import RollUp

_DAYS: Final = """\
SELECT DISTINCT partition FROM system.parts WHERE active AND database = currentDatabase() AND table = 'shares'
ORDER BY partition"""
_LATEST: Final = """\
SELECT toUnixTimestamp(greatest((SELECT max(ts) FROM shares), (SELECT max(ts) FROM heartbeats)))"""
_OF_DAY: Final = """\
s.ts >= toDateTime64({{start:Int64}}, 3, 'UTC') AND s.ts < toDateTime64({{end:Int64}}, 3, 'UTC'){condition}"""
_DIFFERING: Final = f"""\
SELECT DISTINCT toUnixTimestamp(bucket) FROM (
    SELECT {{bucket}} AS bucket, s.pool_label AS pool_label, s.worker AS worker,
        countIf(s.verdict = 'accepted')::Int64 AS accepted, countIf(s.verdict = 'rejected')::Int64 AS rejected
    FROM shares AS s WHERE {_OF_DAY}
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT s.ts, s.pool_label, s.worker, -sum(s.accepted)::Int64, -sum(s.rejected)::Int64
    FROM (SELECT bucket AS ts, pool_label, worker, accepted, rejected FROM {{table}}) AS s WHERE {_OF_DAY}
    GROUP BY 1, 2, 3
)
GROUP BY bucket, pool_label, worker
HAVING sum(accepted) != 0 OR sum(rejected) != 0"""  # noqa: S608 - constants of this module
_REBUILD: Final = f"""\
INSERT INTO {{table}} ({COLUMNS})
SELECT {{bucket}}, s.pool_label, s.worker, s.segment,
    countIf(s.verdict = 'accepted'), countIf(s.verdict = 'rejected'),
    sumMapIf(map(toString(s.reason), toUInt64(1)), s.verdict = 'rejected'),
    sumIf(s.pool_difficulty, s.verdict = 'accepted'), sumIf(s.actual_difficulty, s.verdict = 'accepted'),
    maxIf(s.actual_difficulty, s.verdict = 'accepted'), maxIf(s.ts, s.verdict = 'accepted')
FROM shares AS s WHERE {_OF_DAY} AND has({{{{buckets:Array(UInt32)}}}}, toUnixTimestamp({{bucket}}))
GROUP BY 1, 2, 3, 4"""  # noqa: S608 - constants of this module


async def rebuild_differing(address: ClickHouseAddress, kept_days: int | None = None) -> int:
    """How many buckets were made anew; `kept_days`: after how many days shares went where the backup was made.

    Raises what clickhouse-connect and aiohttp raise.
    """
    connection = Connection(address, timeout_seconds=3600)
    try:
        client = await connection.client()
        since = max(await kept_from(client), kept_at(await _latest(client), kept_days))
        starts = [start for start in await _days(client) if start >= since]
        return sum([await _rebuild(client, roll_up, start) for start in starts for roll_up in ROLL_UPS])
    finally:
        await connection.close()


async def _latest(client: AsyncClient) -> int:
    """The latest moment that the store tells of: of a restored one, close to when its backup was made."""
    result = await client.query(_LATEST)
    return int(result.result_rows[0][0])


async def _days(client: AsyncClient) -> list[int]:
    """When the days begin that have shares, and the one after: a roll-up may be younger than the shares."""
    result = await client.query(_DAYS)
    days = [datetime.strptime(str(day), "%Y%m%d").replace(tzinfo=UTC) for (day,) in result.result_rows]
    if days:
        days.append(days[-1] + timedelta(days=1))
    return [int(day.timestamp()) for day in days]


async def _rebuild(client: AsyncClient, roll_up: RollUp, start: int) -> int:
    bound = {"start": start, "end": start + 86_400}
    words = {"table": roll_up.table, "bucket": roll_up.bucket, "condition": roll_up.condition}
    result = await client.query(_DIFFERING.format(**words), parameters=bound)
    buckets = [int(bucket) for (bucket,) in result.result_rows]
    if buckets:
        await client.command(
            f"ALTER TABLE {roll_up.table} DELETE WHERE has({{buckets:Array(UInt32)}}, toUnixTimestamp(bucket))"
            " SETTINGS mutations_sync = 2",
            parameters={"buckets": buckets},
        )
        await client.command(
            _REBUILD.format(**words),
            parameters={**bound, "buckets": buckets},
            settings={"async_insert": 0, "insert_deduplicate": 0},
        )
    return len(buckets)
