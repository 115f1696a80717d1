"""Gives the roll-ups what a crash kept from them, and takes from them what it doubled.

An INSERT writes the raw table's part first, then each roll-up's. If ClickHouse dies in between, roll-ups lack the
batch; and where the raw table's token was used up without its part, they have it twice once the rows came under another
(services/warehouse/delivery.py). So a roll-up's row names the segment that its shares are of, and what a segment has in
a bucket is compared with its raw shares there; where the two differ, the difference is added, be it negative.

Nobody else ships a segment meanwhile, but an earlier INSERT of it may still be at work on the server. So what differs
is looked at again after a pause, and once no INSERT of the segment runs.

Buckets whose oldest shares are not kept any more are left as they are, for the raw table no longer says what they had.

A bucket may have rows from before roll-ups named segments. There it is taken to lack something only if all of it has
fewer shares than the raw table.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from services.warehouse.keeping import kept_from
from services.warehouse.running_inserts import UsedUpError, none_running

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.segment import Batch

log = structlog.get_logger()

PAUSE_SECONDS: Final = 2.0
TOKENS: Final = 5
"""How many of a batch, or of mending it, may be used up by crashes before it is left to the next attempt."""


@dataclass(frozen=True, slots=True)
class RollUp:
    """A table that a materialized view fills from `shares`."""

    table: str
    bucket: str
    """The bucket of a share called s."""
    seconds: int
    condition: str = ""
    """Which shares are in it, with an AND in front."""


ROLL_UPS: Final = (
    RollUp("shares_10m", "toStartOfTenMinutes(s.ts)", 600),
    RollUp("shares_1h", "toStartOfHour(s.ts)", 3_600),
    RollUp("shares_1d", "toStartOfDay(s.ts)", 86_400, " AND s.ts >= (SELECT max(since) FROM shares_1d_since)"),
)
COLUMNS: Final = (
    "bucket, pool_label, worker, segment, accepted, rejected, rejected_by_reason, credited_difficulty,"
    " actual_difficulty, best_share, last_share"
)
# By key, where the batch has shares: what the raw table has of the segment, less what the roll-up has. A negative
# number goes into an unsigned column as its complement, which sums as it should. No more is taken from a roll-up than
# crashes can have added: the batch, once for each token that they used up.
_DIFFERENCES: Final = """\
SELECT bucket, pool_label, worker, {{segment:UUID}} AS segment, toUInt64(sum(accepted)), toUInt64(sum(rejected)),
    mapApply((reason, shares) -> (reason, toUInt64(shares)), sumMap(reasons)), sum(credited), sum(actual), max(best),
    max(last)
FROM (
    WITH s.segment = {{segment:UUID}} AS mine
    SELECT {bucket} AS bucket, s.pool_label AS pool_label, s.worker AS worker,
        countIf(mine AND s.verdict = 'accepted')::Int64 AS accepted,
        countIf(mine AND s.verdict = 'rejected')::Int64 AS rejected,
        sumMapIf(map(toString(s.reason), toInt64(1)), mine AND s.verdict = 'rejected') AS reasons,
        sumIf(s.pool_difficulty, mine AND s.verdict = 'accepted') AS credited,
        sumIf(s.actual_difficulty, mine AND s.verdict = 'accepted') AS actual,
        maxIf(s.actual_difficulty, mine AND s.verdict = 'accepted') AS best,
        maxIf(s.ts, mine AND s.verdict = 'accepted') AS last,
        countIf(mine AND s.seq BETWEEN {{first_seq:UInt64}} AND {{last_seq:UInt64}})::Int64 AS own,
        count()::Int64 AS every, toInt64(0) AS unnamed
    FROM shares AS s
    WHERE s.ts >= toDateTime64({{start:Int64}}, 3, 'UTC') AND s.ts < toDateTime64({{end:Int64}}, 3, 'UTC')
        AND (s.segment = {{segment:UUID}} OR {unnamed}){condition}
    GROUP BY 1, 2, 3
    UNION ALL
    WITH r.segment = {{segment:UUID}} AS mine
    SELECT r.bucket, r.pool_label, r.worker, -sumIf(r.accepted, mine)::Int64, -sumIf(r.rejected, mine)::Int64,
        mapApply((reason, shares) -> (reason, -toInt64(shares)), sumMapIf(r.rejected_by_reason, mine)),
        -sumIf(r.credited_difficulty, mine), -sumIf(r.actual_difficulty, mine), 0, toDateTime64(0, 3, 'UTC'),
        0, -sum(r.accepted + r.rejected)::Int64,
        sumIf(r.accepted + r.rejected, r.segment = toUUID('00000000-0000-0000-0000-000000000000'))::Int64
    FROM {table} AS r
    WHERE r.bucket >= toDateTime({{start:Int64}}, 'UTC') AND r.bucket < toDateTime({{end:Int64}}, 'UTC')
    GROUP BY 1, 2, 3
)
GROUP BY bucket, pool_label, worker
HAVING sum(own) > 0 AND (
    (sum(accepted) + sum(rejected) > 0 AND (sum(unnamed) = 0 OR sum(every) >= sum(accepted) + sum(rejected)))
    OR sum(accepted) + sum(rejected) BETWEEN -{{tokens:Int64}} * sum(own) AND -1
)"""
_UNNAMED: Final = """\
(SELECT count() > 0 FROM {table} WHERE bucket >= toDateTime({{start:Int64}}, 'UTC')
    AND bucket < toDateTime({{end:Int64}}, 'UTC') AND segment = toUUID('00000000-0000-0000-0000-000000000000'))"""


async def mend_roll_ups(client: AsyncClient, batch: Batch) -> int:
    """How many roll-ups differed from the raw table, which has all of the batch, and do so no longer.

    Safe to repeat. Raises UnsettledError, or what the client raises.
    """
    since = await kept_from(client)
    differing = [roll_up for roll_up in ROLL_UPS if await _differs(client, batch, roll_up, since)]
    if not differing:
        return 0
    await asyncio.sleep(PAUSE_SECONDS * random.uniform(1, 1.5))  # noqa: S311 - jitter
    await none_running(client, batch.segment)
    return sum([await _mend(client, batch, roll_up, since) for roll_up in differing])


async def _mend(client: AsyncClient, batch: Batch, roll_up: RollUp, since: int) -> bool:
    """Whether there was something to mend. A crash may use a token up without its rows: then the next one is taken."""
    for number in range(TOKENS + 1):
        if not await _differs(client, batch, roll_up, since):
            return number > 0
        if number == TOKENS:
            break
        await client.command(
            f"INSERT INTO {roll_up.table} ({COLUMNS})\n{_differences(roll_up)}",
            parameters=_bound(batch, roll_up, since),
            settings={
                "async_insert": 0,
                # One block, so that the token stands for all of it.
                "max_block_size": 1_048_576,
                "max_insert_threads": 1,
                "min_insert_block_size_rows": 1_048_576,
                "insert_deduplication_token": f"{batch.token}-{roll_up.table}-{number}",
            },
        )
        log.warning("roll_up_mended", table=roll_up.table, segment=str(batch.segment), batch=batch.number)
    raise UsedUpError(f"{roll_up.table} differs from shares, and did so again each time it was mended")


async def _differs(client: AsyncClient, batch: Batch, roll_up: RollUp, since: int) -> bool:
    result = await client.query(
        f"SELECT count() FROM (\n{_differences(roll_up)}\n)",  # noqa: S608 - constants of this module
        parameters=_bound(batch, roll_up, since),
    )
    return bool(result.result_rows[0][0])


def _differences(roll_up: RollUp) -> str:
    return _DIFFERENCES.format(
        table=roll_up.table,
        bucket=roll_up.bucket,
        condition=roll_up.condition,
        unnamed=_UNNAMED.format(table=roll_up.table),
    )


def _bound(batch: Batch, roll_up: RollUp, since: int) -> dict[str, Any]:
    first, last = batch.first_ts_ms // 1000, batch.last_ts_ms // 1000
    return {
        "segment": str(batch.segment),
        "first_seq": batch.first_seq,
        "last_seq": batch.last_seq,
        "tokens": TOKENS,
        "start": max(first - first % roll_up.seconds, since + -since % roll_up.seconds),
        "end": last - last % roll_up.seconds + roll_up.seconds,
    }
