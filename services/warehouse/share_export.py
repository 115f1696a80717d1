"""All shares of a query as one file, in order of time, with only a piece of it in memory.

The period is cut where it holds some ten thousand shares, by counts that the database gives first, and each slice is a
query of its own: none is held open while a slow reader takes what it was given, and none sorts more than a slice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from services.warehouse.analysis import LIMITS
from services.warehouse.client import Connection, StoreUnavailable, answered_within, cancellation_kept
from services.warehouse.parquet_parts import ParquetParts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.share_query import ShareQuery

ExportFormat = Literal["csv", "json", "parquet"]
EXPORT_COLUMNS: Final = {
    "id": "concat(toString(s.segment), '-', toString(s.seq))",
    "time": "s.ts",
    "worker": "toString(s.worker)",
    "pool": "toString(s.pool_label)",
    "pool_address": "toString(s.pool)",
    "miner": "toString(s.miner)",
    "proxy": "toString(s.proxy)",
    "verdict": "toString(s.verdict)",
    "reason": "toString(s.reason)",
    "pool_requested_difficulty": "s.pool_requested_difficulty",
    "credited_difficulty": "s.pool_difficulty",
    "actual_difficulty": "s.actual_difficulty",
    "luck": "if(s.pool_difficulty > 0, s.actual_difficulty / s.pool_difficulty, 0)",
    "block_hash": "s.block_hash",
    "header": "lower(hex(s.header))",
}
SLICE_ROWS: Final = 20_000
_MOST_ROWS: Final = 2 * SLICE_ROWS
_TOO_MANY_ROWS: Final = 396
_SLICE_SECONDS: Final = 60
_BUCKET_SECONDS: Final = 600
_FORMATS: Final = {"csv": "CSV", "json": "JSONEachRow", "parquet": "Parquet"}
_SETTINGS: Final = {
    **LIMITS,
    "max_execution_time": _SLICE_SECONDS,
    "max_result_rows": _MOST_ROWS,
    "date_time_output_format": "iso",
    "output_format_parquet_write_page_index": 0,
}
_COUNTS: Final = """\
SELECT toUnixTimestamp(toStartOfTenMinutes(s.ts)) AS bucket, count() FROM shares AS s WHERE {condition}
GROUP BY bucket ORDER BY bucket"""
_SLICE: Final = """\
SELECT {columns}
FROM shares AS s
WHERE s.ts >= fromUnixTimestamp64Milli({{start_ms:Int64}}, 'UTC')
    AND s.ts < fromUnixTimestamp64Milli({{end_ms:Int64}}, 'UTC'){filters}
ORDER BY s.ts, s.segment, s.seq"""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part [start_ms, end_ms) of the period, unix ms, and how many shares it held when they were counted."""

    start_ms: int
    end_ms: int
    rows: int

    def halves(self) -> tuple[Slice, Slice]:
        middle = (self.start_ms + self.end_ms) // 2
        return Slice(self.start_ms, middle, self.rows // 2), Slice(middle, self.end_ms, self.rows - self.rows // 2)


class ShareExport:
    """One file in the making. `blocks` raises StoreUnavailable where the database gives no answer."""

    def __init__(self, address: ClickHouseAddress, query: ShareQuery, form: ExportFormat) -> None:
        self._connection = Connection(address, timeout_seconds=_SLICE_SECONDS + 1)
        self._query = query
        self._form = form
        self.rows_total = 0
        """Known once `count` has been called."""
        self.rows_done = 0
        self._slices: tuple[Slice, ...] = ()

    async def close(self) -> None:
        """Let go of the database; `blocks` does so at its own end."""
        await self._connection.close()

    async def count(self) -> int:
        """How many shares match. Raises StoreUnavailable."""
        condition, bound = self._query.condition()
        with answered_within(_SLICE_SECONDS):
            async with asyncio.timeout(_SLICE_SECONDS):
                client = await self._connection.client()
                with cancellation_kept():
                    # Years of ten minutes each are more rows than any other question may have.
                    settings = {**_SETTINGS, "max_result_rows": 1_000_000}
                    counts = await client.query(
                        _COUNTS.format(condition=condition), parameters=bound, settings=settings
                    )
        self._slices = tuple(slices(self._query.start, self._query.end, counts.result_rows))
        self.rows_total = sum(one.rows for one in self._slices)
        return self.rows_total

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The file, a slice at a time; `count` comes first."""
        try:
            frame = _frame(self._form)
            yield frame.head
            for one in self._slices:
                async for block in self._blocks_of(one, frame):
                    yield block
                self.rows_done += one.rows
            yield frame.foot()
        finally:
            await self.close()

    async def _blocks_of(self, one: Slice, frame: _Frame) -> AsyncIterator[bytes]:
        try:
            body = await self._body(one)
        except StoreUnavailable as error:
            if error.code != _TOO_MANY_ROWS or one.end_ms - one.start_ms < 2:
                raise
            for half in one.halves():
                async for block in self._blocks_of(half, frame):
                    yield block
        else:
            yield frame.joined(body)

    async def _body(self, one: Slice) -> bytes:
        filters, bound = self._query.filters()
        columns = ", ".join(f"{expression} AS {name}" for name, expression in EXPORT_COLUMNS.items())
        with answered_within(_SLICE_SECONDS):
            async with asyncio.timeout(_SLICE_SECONDS):
                client = await self._connection.client()
                with cancellation_kept():
                    body: bytes = await client.raw_query(
                        _SLICE.format(columns=columns, filters=filters),
                        parameters={"start_ms": one.start_ms, "end_ms": one.end_ms, **bound},
                        settings=_SETTINGS,
                        fmt=_FORMATS[self._form],
                    )
                return body


def slices(
    start: int, end: int, counts: Iterable[Iterable[Any]], *, bucket_seconds: int = _BUCKET_SECONDS
) -> Iterator[Slice]:
    """[start, end), unix seconds, cut so that each slice has about SLICE_ROWS, by the counts of its buckets."""
    begin_ms, rows = start * 1000, 0
    for bucket, count in counts:
        if rows + count > SLICE_ROWS and rows:
            yield Slice(begin_ms, bucket * 1000, rows)
            begin_ms, rows = bucket * 1000, 0
        if count > _MOST_ROWS:
            bucket_end_ms = min(end, bucket + bucket_seconds) * 1000
            yield from _even(begin_ms, bucket_end_ms, count)
            begin_ms = bucket_end_ms
        else:
            rows += count
    # Also without a share: a file has a head, and Parquet has its columns from a first part.
    yield Slice(begin_ms, end * 1000, rows)


def _even(start_ms: int, end_ms: int, rows: int) -> Iterator[Slice]:
    pieces = -(-rows // SLICE_ROWS)
    edges = [start_ms + (end_ms - start_ms) * number // pieces for number in range(pieces + 1)]
    for number in range(pieces):
        share = rows * (number + 1) // pieces - rows * number // pieces
        yield Slice(edges[number], edges[number + 1], share)


class _Frame:
    """What stands around the slices; of CSV its head alone."""

    head = b",".join(f'"{name}"'.encode() for name in EXPORT_COLUMNS) + b"\n"

    def joined(self, body: bytes) -> bytes:
        return body

    def foot(self) -> bytes:
        return b""


class _JsonFrame(_Frame):
    """An array of objects, each on a line of its own: a newline inside a value is escaped."""

    head = b"["

    def __init__(self) -> None:
        self._before = b"\n"

    def joined(self, body: bytes) -> bytes:
        if not body:
            return b""
        before, self._before = self._before, b",\n"
        return before + body.rstrip(b"\n").replace(b"\n", b",\n")

    def foot(self) -> bytes:
        return b"\n]\n"


class _ParquetFrame(_Frame):
    head = b""

    def __init__(self) -> None:
        self._parts = ParquetParts()

    def joined(self, body: bytes) -> bytes:
        return self._parts.add(body)

    def foot(self) -> bytes:
        return self._parts.end()


def _frame(form: ExportFormat) -> _Frame:
    return {"csv": _Frame, "json": _JsonFrame, "parquet": _ParquetFrame}[form]()
