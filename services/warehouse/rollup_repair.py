"""Gives the roll-ups what a crash kept from them, where a batch's token can no longer do it.

An INSERT writes the raw table's part first, then each roll-up's. If ClickHouse dies in between, repeating the batch
under its token fills the roll-ups and nothing else; where the token is forgotten, or the rows may have come under
another, that would store the shares twice. Then the roll-ups are compared with the raw table, in the buckets that the
batch touches, and given the batch's sums, computed from the raw rows, where they lack all of it.

Other inserts go on meanwhile, so that the raw table may be ahead of a roll-up for the time that one insert takes. So
the raw rows are counted before and after the roll-up, with a pause: what lacks by the first count lacks for sure, what
does not lack by the second is there for sure, and where neither holds it is looked at again.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.segment import Batch

log = structlog.get_logger()

PAUSE_SECONDS: Final = 2.0
_ATTEMPTS: Final = 5

Key = tuple[int, str, str]
"""Bucket's start (unix seconds), pool label, worker."""


class Count(NamedTuple):
    """Raw shares of a key."""

    month: int
    own: int
    """Those of the batch."""
    every: int


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
_SUMS: Final = """\
    countIf(s.verdict = 'accepted') AS accepted,
    countIf(s.verdict = 'rejected') AS rejected,
    sumMapIf(map(toString(s.reason), toUInt64(1)), s.verdict = 'rejected') AS rejected_by_reason,
    sumIf(s.pool_difficulty, s.verdict = 'accepted') AS credited_difficulty,
    sumIf(s.actual_difficulty, s.verdict = 'accepted') AS actual_difficulty,
    maxIf(s.actual_difficulty, s.verdict = 'accepted') AS best_share,
    maxIf(s.ts, s.verdict = 'accepted') AS last_share"""
_COLUMNS: Final = (
    "bucket, pool_label, worker, accepted, rejected, rejected_by_reason, credited_difficulty, actual_difficulty,"
    " best_share, last_share"
)
_OWN: Final = "s.segment = {segment:UUID} AND s.seq BETWEEN {first_seq:UInt64} AND {last_seq:UInt64}"
_BETWEEN: Final = "s.ts >= toDateTime64({start:Int64}, 3, 'UTC') AND s.ts < toDateTime64({end:Int64}, 3, 'UTC')"


class RollUpUnsettledError(Exception):
    """Others' inserts went on for too long to tell what a roll-up lacks; the batch is tried again later."""


async def mend_roll_ups(client: AsyncClient, batch: Batch) -> int:
    """How many tables' partitions lacked the batch, whose shares are all in the raw table, and have it now.

    Safe to repeat. Raises RollUpUnsettledError, or what the client raises.
    """
    mended = 0
    for roll_up in ROLL_UPS:
        for month, lacks in (await _lacking(client, batch, roll_up)).items():
            if lacks:
                await _insert(client, batch, roll_up, month)
                log.warning("roll_up_mended", table=roll_up.table, month=month, segment=str(batch.segment))
                mended += 1
    return mended


async def _lacking(client: AsyncClient, batch: Batch, roll_up: RollUp) -> dict[int, bool]:
    """By month (a roll-up's partition): whether it lacks the batch, of which it has all or nothing there."""
    before: dict[Key, Count] = {}
    for attempt in range(_ATTEMPTS):
        if attempt:
            before = await _raw(client, batch, roll_up)
            # So long that what others were inserting is there, or their process has died.
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(1, 1.5))  # noqa: S311 - so that no rhythm of theirs is met
        rolled_up = await _rolled_up(client, batch, roll_up)
        after = await _raw(client, batch, roll_up)
        lacks = {month: _lacks(month, before, rolled_up, after) for month in {count.month for count in after.values()}}
        if None not in lacks.values():
            return {month: bool(lack) for month, lack in lacks.items()}
    raise RollUpUnsettledError(f"{roll_up.table} cannot be compared with shares while so much is inserted")


def _lacks(
    month: int, before: Mapping[Key, Count], rolled_up: Mapping[Key, int], after: Mapping[Key, Count]
) -> bool | None:
    """Whether all of the batch lacks; None where that cannot be told."""
    of_month = {key: count for key, count in after.items() if count.month == month}
    if any(count.every - rolled_up.get(key, 0) < count.own for key, count in of_month.items()):
        return False
    if all(key in before and before[key].every - rolled_up.get(key, 0) >= count.own for key, count in of_month.items()):
        return True
    return None


def _bound(batch: Batch, roll_up: RollUp) -> dict[str, Any]:
    first, last = batch.first_ts_ms // 1000, batch.last_ts_ms // 1000
    return {
        "segment": str(batch.segment),
        "first_seq": batch.first_seq,
        "last_seq": batch.last_seq,
        "start": first - first % roll_up.seconds,
        "end": last - last % roll_up.seconds + roll_up.seconds,
    }


async def _raw(client: AsyncClient, batch: Batch, roll_up: RollUp) -> dict[Key, Count]:
    """Of each key that the batch has rows of."""
    result = await client.query(
        f"SELECT toUnixTimestamp({roll_up.bucket}) AS start, s.pool_label, s.worker, toYYYYMM({roll_up.bucket}),"  # noqa: S608
        f" countIf({_OWN}) AS own, count() FROM shares AS s WHERE {_BETWEEN}{roll_up.condition}"
        " GROUP BY 1, 2, 3, 4 HAVING own > 0",
        parameters=_bound(batch, roll_up),
    )
    return {(start, pool, worker): Count(*count) for start, pool, worker, *count in result.result_rows}


async def _rolled_up(client: AsyncClient, batch: Batch, roll_up: RollUp) -> dict[Key, int]:
    result = await client.query(
        "SELECT toUnixTimestamp(r.bucket), r.pool_label, r.worker, sum(r.accepted + r.rejected)"  # noqa: S608
        f" FROM {roll_up.table} AS r WHERE r.bucket >= toDateTime({{start:Int64}}, 'UTC')"
        " AND r.bucket < toDateTime({end:Int64}, 'UTC') GROUP BY 1, 2, 3",
        parameters=_bound(batch, roll_up),
    )
    return {(start, pool, worker): rows for start, pool, worker, rows in result.result_rows}


async def _insert(client: AsyncClient, batch: Batch, roll_up: RollUp, month: int) -> None:
    await client.command(
        f"INSERT INTO {roll_up.table} ({_COLUMNS})"
        f" SELECT {roll_up.bucket} AS bucket, s.pool_label, s.worker,\n{_SUMS}\n"
        f"FROM shares AS s WHERE {_BETWEEN} AND {_OWN} AND toYYYYMM({roll_up.bucket}) = {{month:UInt32}}"
        f"{roll_up.condition}"
        " GROUP BY 1, 2, 3",
        parameters={**_bound(batch, roll_up), "month": month},
        settings={
            "async_insert": 0,
            # One block, so that the token stands for all of it.
            "max_block_size": 1_048_576,
            "max_insert_threads": 1,
            "min_insert_block_size_rows": 1_048_576,
            "insert_deduplication_token": f"{batch.token}-{roll_up.table}-{month}",
        },
    )
