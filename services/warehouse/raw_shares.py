"""The accepted shares of a period, one by one in order of time: all of them, or a page that ends where the next begins.

The period is cut into slices, as in services/warehouse/share_export.py, so that millions of shares need no more memory
than some ten thousand. A page's last share is looked up first: whoever asks learns, before the first byte, where the
next page begins, whatever the format.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from services.warehouse.analysis import LIMITS
from services.warehouse.arrow_parts import ArrowParts
from services.warehouse.client import Connection, StoreUnavailable, cancellation_kept, ended_within
from services.warehouse.parquet_parts import ParquetParts
from services.warehouse.share_export import Slice, slices
from services.warehouse.share_sample import COUNTS_SQL, count_step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.share_query import ShareQuery

RawFormat = Literal["json", "ndjson", "csv", "arrow", "parquet"]
RAW_COLUMNS: Final = {
    "id": "concat(toString(s.segment), '-', toString(s.seq))",
    "timestamp": "toUnixTimestamp(s.ts)",
    "timestamp_ms": "toUnixTimestamp64Milli(s.ts)",
    "miner": "toString(s.miner)",
    "worker": "toString(s.worker)",
    "pool": "toString(s.pool)",
    "pool_label": "toString(s.pool_label)",
    "pool_difficulty": "s.pool_difficulty",
    "pool_requested_difficulty": "s.pool_requested_difficulty",
    "actual_difficulty": "s.actual_difficulty",
    "block_hash": "s.block_hash",
}
_DEADLINE_SECONDS: Final = 1.8
_CONNECT_SECONDS: Final = 1.0
# A stream begins with a slice so small that it comes at once.
_FIRST_ROWS: Final = 1_000
_SLICE_SECONDS: Final = 60
_TOO_MANY_ROWS: Final = 396
_FORMATS: Final[Mapping[RawFormat, str]] = {
    "json": "JSONEachRow",
    "ndjson": "JSONEachRow",
    "csv": "CSV",
    "arrow": "ArrowStream",
    "parquet": "Parquet",
}
_SETTINGS: Final = {
    **LIMITS,
    "max_execution_time": _SLICE_SECONDS,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_validate_utf8": 1,
    "output_format_parquet_write_page_index": 0,
}
_COUNT_SETTINGS: Final = {**LIMITS, "max_result_rows": 1_000_000}
_WITHIN: Final = """\
s.ts >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC') AND s.ts < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')"""
_AFTER: Final = """\
 AND (s.ts, s.segment, s.seq) >
 (fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC'), toUUID({after_segment:String}), {after_seq:UInt64})"""
_UNTIL: Final = """\
 AND (s.ts, s.segment, s.seq) <=
 (fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC'), toUUID({last_segment:String}), {last_seq:UInt64})"""
# With the key's first column before the rest, no more is read and sorted than ten minutes at a time.
_PAGE_END: Final = """\
SELECT toUnixTimestamp64Milli(s.ts), toString(s.segment), s.seq FROM shares AS s WHERE {condition}
ORDER BY toStartOfTenMinutes(s.ts), s.ts, s.segment, s.seq LIMIT 2 OFFSET {{skipped:UInt64}}"""
_SLICE: Final = "SELECT {columns} FROM shares AS s WHERE {condition} ORDER BY s.ts, s.segment, s.seq"
_CURSOR: Final = re.compile(r"([0-9]{1,15})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9]{1,20})")


class CursorError(ValueError):
    """A text that is no cursor."""


@dataclass(frozen=True, slots=True)
class RawCursor:
    """The last share that a reader has: the next one follows it. Written as one word, which readers hand back."""

    ts_ms: int
    segment: str
    seq: int

    def __str__(self) -> str:
        return f"{self.ts_ms}-{self.segment}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> RawCursor:
        """Reads what `str` writes. Raises CursorError."""
        found = _CURSOR.fullmatch(text)
        if found is None or int(found[3]) >= 1 << 64:
            raise CursorError("no cursor")
        return cls(int(found[1]), str(UUID(found[2])), int(found[3]))


@dataclass(frozen=True, slots=True)
class RawPage:
    """What `RawShares.page` found out before the first share is read."""

    total: int
    """Shares of the whole period that match, on every page."""
    next_cursor: RawCursor | None
    """Where the next page begins; None on the last."""
    slices: tuple[Slice, ...]
    condition: str
    bound: Mapping[str, Any]


class RawShares:
    """Reads from ClickHouse. `page` raises StoreUnavailable within 2 s, `parts` where a slice is not given in time."""

    def __init__(self, address: ClickHouseAddress) -> None:
        self._connection = Connection(
            address, connect_timeout_seconds=_CONNECT_SECONDS, timeout_seconds=_SLICE_SECONDS + 1
        )

    async def close(self) -> None:
        await self._connection.close()

    def in_time(self) -> AbstractAsyncContextManager[None]:
        """A block that raises StoreUnavailable where it takes 2 s: for a page and its first part, together."""
        return ended_within(_DEADLINE_SECONDS)

    async def page(self, query: ShareQuery, after: RawCursor | None, limit: int | None) -> RawPage:
        """The shares that follow `after`, or the first, at most `limit`; `query` asks for accepted ones."""
        step = count_step(query.seconds)
        rows, bound = query.rows(step)
        counts = await self._rows(COUNTS_SQL.format(rows=rows, step=step), bound)
        total = sum(count for _, count in counts)
        filters, bound = query.filters()
        start_ms, end_ms = query.start * 1000, query.end * 1000
        condition = _WITHIN + filters
        if after is not None:
            condition += _AFTER
            bound |= {"after_ms": after.ts_ms, "after_segment": after.segment, "after_seq": after.seq}
            start_ms = min(max(start_ms, after.ts_ms), end_ms)
        next_cursor = None
        if limit is not None and total > limit:
            asked = {**bound, "start_ms": start_ms, "end_ms": end_ms, "skipped": limit - 1}
            ends = await self._rows(_PAGE_END.format(condition=condition), asked)
            if len(ends) == 2:
                next_cursor = RawCursor(*ends[0])
                condition += _UNTIL
                bound |= {
                    "last_ms": next_cursor.ts_ms,
                    "last_segment": next_cursor.segment,
                    "last_seq": next_cursor.seq,
                }
                end_ms = next_cursor.ts_ms + 1
        own = [(bucket, n) for bucket, n in counts if (bucket + step) * 1000 > start_ms and bucket * 1000 < end_ms]
        cut = slices(start_ms // 1000, -(-end_ms // 1000), own, bucket_seconds=step)
        within = (replace(one, start_ms=max(one.start_ms, start_ms), end_ms=min(one.end_ms, end_ms)) for one in cut)
        return RawPage(total, next_cursor, tuple(_quick_first(within)), condition, bound)

    async def parts(self, page: RawPage, form: RawFormat) -> AsyncIterator[bytes]:
        """The page's shares as bodies of `form`, a slice each: `joiner` makes one of them."""
        for one in page.slices:
            async for body in self._bodies(page, one, form):
                yield body

    async def _bodies(self, page: RawPage, one: Slice, form: RawFormat) -> AsyncIterator[bytes]:
        try:
            body = await self._body(page, one, form)
        except StoreUnavailable as error:
            # More shares have come than were counted.
            if error.code != _TOO_MANY_ROWS or one.end_ms - one.start_ms < 2:
                raise
            for half in one.halves():
                async for part in self._bodies(page, half, form):
                    yield part
        else:
            yield body

    async def _body(self, page: RawPage, one: Slice, form: RawFormat) -> bytes:
        columns = ", ".join(f"{expression} AS {name}" for name, expression in RAW_COLUMNS.items())
        async with ended_within(_SLICE_SECONDS):
            client = await self._connection.client()
            with cancellation_kept():
                body: bytes = await client.raw_query(
                    _SLICE.format(columns=columns, condition=page.condition),
                    parameters={"start_ms": one.start_ms, "end_ms": one.end_ms, **page.bound},
                    settings=_SETTINGS,
                    fmt=_FORMATS[form],
                )
            return body

    async def _rows(self, sql: str, bound: dict[str, Any]) -> Sequence[Sequence[Any]]:
        settings = {**_COUNT_SETTINGS, "max_execution_time": math.ceil(_DEADLINE_SECONDS)}
        async with ended_within(_DEADLINE_SECONDS):
            client = await self._connection.client()
            with cancellation_kept():
                result = await client.query(sql, parameters=bound, settings=settings)
            rows: Sequence[Sequence[Any]] = result.result_rows
            return rows


def _quick_first(cut: Iterable[Slice]) -> Iterator[Slice]:
    """The same slices, but for a large first one, which becomes a small one and the rest."""
    for number, one in enumerate(cut):
        middle_ms = one.start_ms + (one.end_ms - one.start_ms) * _FIRST_ROWS // max(1, one.rows)
        if number == 0 and one.start_ms < middle_ms < one.end_ms:
            yield Slice(one.start_ms, middle_ms, _FIRST_ROWS)
            yield Slice(middle_ms, one.end_ms, one.rows - _FIRST_ROWS)
        else:
            yield one


class Joiner:
    """Makes one document of parts: send `head`, then what `add` gives for each, and at last what `end` gives."""

    head = b""

    def add(self, part: bytes) -> bytes:
        return part

    def end(self) -> bytes:
        return b""


class _CsvJoiner(Joiner):
    head = b",".join(name.encode() for name in RAW_COLUMNS) + b"\r\n"


class JsonArray(Joiner):
    """The items of an array, without its brackets."""

    def __init__(self) -> None:
        self._before = b""

    def add(self, part: bytes) -> bytes:
        if not part:
            return b""
        before, self._before = self._before, b",\n"
        # A newline inside a value is escaped.
        return before + part.rstrip(b"\n").replace(b"\n", b",\n")


class _ArrowJoiner(Joiner):
    def __init__(self) -> None:
        self._parts = ArrowParts()

    def add(self, part: bytes) -> bytes:
        return self._parts.add(part)

    def end(self) -> bytes:
        return self._parts.end()


class _ParquetJoiner(Joiner):
    def __init__(self) -> None:
        self._parts = ParquetParts()

    def add(self, part: bytes) -> bytes:
        return self._parts.add(part)

    def end(self) -> bytes:
        return self._parts.end()


def joiner(form: RawFormat) -> Joiner:
    """What joins parts of `form`."""
    joiners: dict[RawFormat, type[Joiner]] = {
        "json": JsonArray,
        "ndjson": Joiner,
        "csv": _CsvJoiner,
        "arrow": _ArrowJoiner,
        "parquet": _ParquetJoiner,
    }
    return joiners[form]()
