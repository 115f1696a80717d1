"""One batch into ClickHouse, exactly once: the same bytes under the same token at every attempt.

Every INSERT pins the settings that this rests on. A repeated batch is dropped by each table that has it, roll-ups too;
so a repeat also gives a roll-up what a crash between the tables kept from it.

Two things a token cannot tell, and then the batch is compared, by segment and sequence numbers, with what the table
already has, before any of it is sent:
- It is remembered for the last 100,000 inserts only, so a batch that was first sent long ago may have lost it.
- A data folder that was cloned, or restored from a backup, holds rows that its twin may have sent in other batches.
  So ClickHouse is asked for rows of a segment before anything of it is sent by a process that did not write it, and
  when nothing of it could be sent for a while.
"""

from __future__ import annotations

import time
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from services.warehouse.rollup_repair import mend_roll_ups
from services.warehouse.rowbinary import RowReader, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.segment import Batch

log = structlog.get_logger()

INSERT_SETTINGS: Final = {
    # On by default since ClickHouse 26; the server would answer before the rows are in the table, and merge batches.
    "async_insert": 0,
    # A repeated batch must not count twice in the roll-ups either.
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # One batch is one block, and so one part per day: all of it or nothing.
    "max_insert_block_size": 1_048_576,
    # After a long outage one batch may span many days.
    "max_partitions_per_insert_block": 0,
}
TOKEN_SAFE_SECONDS: Final = 3600.0
"""The deduplication window (100,000 inserts) lasts longer than this at 27 inserts a second."""
TOKEN_SAFE_INSERTS: Final = 50_000

# ClickHouse's codes for "this data cannot be read, now or ever" (src/Common/ErrorCodes.cpp).
POISON_CODES: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        32,  # ATTEMPT_TO_READ_AFTER_EOF
        33,  # CANNOT_READ_ALL_DATA
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        469,  # VIOLATED_CONSTRAINT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)


PIECE_BYTES: Final = 1 << 20
"""A larger body goes in pieces of this size. As bytes it would go in pieces of 64 KiB, one each time the event loop
comes round, and a busy loop would keep ClickHouse waiting for the rest."""


class _Pieces:
    """A body in pieces; from its beginning whenever it is asked for."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), PIECE_BYTES):
            yield self._body[at : at + PIECE_BYTES]


class Outcome(Enum):
    DELIVERED = "delivered"
    ALREADY_THERE = "already_there"


class PoisonError(Exception):
    """ClickHouse will never take this batch: its data is bad. `code` is ClickHouse's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


async def deliver(client: AsyncClient, batch: Batch, body: bytes, *, doubted: bool = False) -> Outcome:
    """Returns once ClickHouse has the batch. Raises PoisonError, or what the client raises on anything transient.

    `doubted`: rows of this segment may have been sent in other batches (`seen_before`), so they are looked up first.
    """
    if batch.stream is not Stream.SHARES or not (doubted or await _token_may_be_forgotten(client, batch)):
        await _insert(client, batch, body, batch.token)
        return Outcome.DELIVERED
    present = await _present(client, batch)
    rows = RowReader(body).shares()
    missing = [row for seq, row in rows if seq not in present]
    if len(missing) == len(rows):
        await _insert(client, batch, body, batch.token)
        return Outcome.DELIVERED
    if missing:
        # One day's part of a batch over midnight is there and the other's is not, or a twin sent some of it.
        rest = b"".join(missing)
        await _insert(client, batch, rest, f"{batch.token}-rest-{blake2b(rest, digest_size=8).hexdigest()}")
    await mend_roll_ups(client, batch)
    return Outcome.DELIVERED if missing else Outcome.ALREADY_THERE


async def seen_before(client: AsyncClient, batch: Batch) -> bool:
    """Whether ClickHouse has shares of the batch's segment, from the batch on: sent by an attempt whose answer was
    lost, or by whoever ships a copy of the segment's file, in batches of its own.
    """
    result = await client.query(
        "SELECT max(seq), countIf(seq <= {last:UInt64}) FROM shares"
        " WHERE ts >= fromUnixTimestamp64Milli({first_ts:Int64}, 'UTC') AND segment = {segment:UUID}"
        " AND seq >= {first:UInt64}",
        parameters={
            "first_ts": batch.first_ts_ms,
            "segment": str(batch.segment),
            "first": batch.first_seq,
            "last": batch.last_seq,
        },
    )
    latest, present = result.result_rows[0]
    if latest > batch.last_seq:
        log.warning("spool_segment_has_a_twin", segment=str(batch.segment), rows=batch.rows, present=present)
    return bool(latest)


async def _insert(client: AsyncClient, batch: Batch, body: bytes, token: str) -> None:
    try:
        await client.raw_insert(
            batch.stream.value,
            column_names=batch.columns,
            insert_block=body if len(body) <= PIECE_BYTES else _Pieces(body),
            fmt="RowBinary",
            settings={**INSERT_SETTINGS, "insert_deduplication_token": token},
        )
    except ClickHouseError as error:
        code = error.code if isinstance(error, Error) else None
        if code in POISON_CODES:
            raise PoisonError(code, str(error)) from error
        raise


async def _token_may_be_forgotten(client: AsyncClient, batch: Batch) -> bool:
    return (
        abs(time.time() - batch.first_sent_ms / 1000) > TOKEN_SAFE_SECONDS
        and await _inserts_since(client, batch) > TOKEN_SAFE_INSERTS
    )


async def _inserts_since(client: AsyncClient, batch: Batch) -> int:
    """How many inserts into `shares` there were since the batch was first sent; rather too many than too few.

    Each takes a block number, and lies in a part that was written since; a merged part counts with all its blocks.
    """
    result = await client.query(
        "SELECT if(countIf(recent) = 0, 0, max(max_block_number) - minIf(min_block_number, recent) + 1) FROM ("
        "SELECT min_block_number, max_block_number, modification_time >= toDateTime({since:Int64}) AS recent"
        " FROM system.parts WHERE database = currentDatabase() AND table = 'shares')",
        # A minute's difference between the clocks does no harm.
        parameters={"since": batch.first_sent_ms // 1000 - 60},
    )
    return int(result.result_rows[0][0])


async def _present(client: AsyncClient, batch: Batch) -> set[int]:
    result = await client.query(
        "SELECT seq FROM shares WHERE ts BETWEEN fromUnixTimestamp64Milli({first_ts:Int64}, 'UTC')"
        " AND fromUnixTimestamp64Milli({last_ts:Int64}, 'UTC')"
        " AND segment = {segment:UUID} AND seq BETWEEN {first:UInt64} AND {last:UInt64}",
        parameters={
            "first_ts": batch.first_ts_ms,
            "last_ts": batch.last_ts_ms,
            "segment": str(batch.segment),
            "first": batch.first_seq,
            "last": batch.last_seq,
        },
    )
    return {int(row[0]) for row in result.result_rows}
