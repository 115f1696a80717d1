"""One batch into ClickHouse, exactly once: the same bytes under the same token at every attempt.

The first attempt is a plain INSERT. At a later one the server's "taken" proves nothing. It notes a token before it
stores the rows, and does not flush the note to disk (engine 26.9: MergeTreeSink::commitPart, MergeTreeDeduplicationLog;
https://github.com/ClickHouse/ClickHouse/issues/111577), so
- killed in between, it drops every repeat of rows that it does not have;
- after a power cut it may have the rows and not the token;
- and it remembers the last 100,000 tokens only.

So the rows are asked for, by segment and sequence numbers, before a batch is sent again, and after. Under the first
token an earlier attempt that is still at work does no harm; rows that are not there once the server has taken that
token will never come by it, and go under the next. What such crashes leave of the roll-ups is mended afterwards.

A data folder that was cloned, or restored from a backup, holds rows that its twin may have sent in other batches. So
ClickHouse is asked for rows of a segment before anything of it is sent by a process that did not write it, and when
nothing of it could be sent for a while.

Jobs, blocks and candidates replace their like, so they need no token when they are repeated.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from services.warehouse.keeping import kept_from
from services.warehouse.rollup_repair import TOKENS, mend_roll_ups
from services.warehouse.rowbinary import RowReader, Stream
from services.warehouse.running_inserts import UsedUpError, none_running

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
"""As bytes a body would go in pieces of 64 KiB, one each time the event loop comes round, and a busy loop would keep
ClickHouse waiting for the rest."""


class _Pieces:
    """A body in pieces. Bytes clickhouse-connect sends again by itself where the connection broke off, and the answer
    to a repeat proves nothing; pieces it does not.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), PIECE_BYTES):
            yield self._body[at : at + PIECE_BYTES]


class PoisonError(Exception):
    """ClickHouse will never take this batch: its data is bad. `code` is ClickHouse's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


async def deliver(client: AsyncClient, batch: Batch, body: bytes, *, doubted: bool = False) -> None:
    """Returns once ClickHouse has the batch. Raises PoisonError, UnsettledError (of which UsedUpError says that it will
    not get better by itself), or what the client raises on anything transient.

    `doubted`: rows of this segment may have been sent in other batches (`seen_before`).
    """
    if not batch.repeated and not doubted:
        await _insert(client, batch, body, {"insert_deduplication_token": batch.token})
    elif batch.stream is not Stream.SHARES:
        await _insert(client, batch, body, {"insert_deduplicate": 0})
    else:
        await _complete(client, batch, body)


async def _complete(client: AsyncClient, batch: Batch, body: bytes) -> None:
    """Sends what ClickHouse has not, until it has all of it.

    Of shares that are too old to be kept, ClickHouse may have deleted what it had, and may delete what it gets: they
    are sent once, for the roll-ups, and not looked for afterwards.
    """
    kept = batch.first_ts_ms >= 1000 * await kept_from(client)
    looks: list[int] = []
    for number in range(TOKENS + 1):
        looks.append(await _present(client, batch))
        if looks[-1] == batch.rows:
            break
        if number == TOKENS:
            raise UsedUpError(f"ClickHouse says that it has taken batch {batch.token}, and lacks shares of it")
        missing, token = body, batch.token
        if looks != [0]:
            # An earlier attempt may be at work under another token; what it stores is seen once it has ended.
            await none_running(client, batch.segment)
            missing = await _missing(client, batch, body)
            if not missing:
                break
            token += f"-rest-{blake2b(missing, digest_size=8).hexdigest()}-{number}"
        await _insert(client, batch, missing, {"insert_deduplication_token": token})
        if not kept:
            break
    if batch.repeated or looks != [0, batch.rows]:
        await mend_roll_ups(client, batch)


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


async def _insert(client: AsyncClient, batch: Batch, body: bytes, settings: dict[str, str | int]) -> None:
    try:
        await client.raw_insert(
            batch.stream.value,
            column_names=batch.columns,
            insert_block=_Pieces(body),
            fmt="RowBinary",
            settings=INSERT_SETTINGS | settings,
        )
    except ClickHouseError as error:
        code = error.code if isinstance(error, Error) else None
        if code in POISON_CODES:
            raise PoisonError(code, str(error)) from error
        raise


_OF_BATCH: Final = """\
FROM shares WHERE ts BETWEEN fromUnixTimestamp64Milli({first_ts:Int64}, 'UTC')
    AND fromUnixTimestamp64Milli({last_ts:Int64}, 'UTC')
    AND segment = {segment:UUID} AND seq BETWEEN {first:UInt64} AND {last:UInt64}"""


def _bounds(batch: Batch) -> dict[str, int | str]:
    return {
        "first_ts": batch.first_ts_ms,
        "last_ts": batch.last_ts_ms,
        "segment": str(batch.segment),
        "first": batch.first_seq,
        "last": batch.last_seq,
    }


async def _present(client: AsyncClient, batch: Batch) -> int:
    """How many rows of the batch ClickHouse has."""
    result = await client.query(f"SELECT uniqExact(seq) {_OF_BATCH}", parameters=_bounds(batch))
    return int(result.result_rows[0][0])


async def _missing(client: AsyncClient, batch: Batch, body: bytes) -> bytes:
    """The rows of the batch that ClickHouse has not."""
    result = await client.query(f"SELECT seq {_OF_BATCH}", parameters=_bounds(batch))
    present = {int(row[0]) for row in result.result_rows}
    rows = await asyncio.to_thread(RowReader(body).shares)
    return b"".join([row for seq, row in rows if seq not in present])
