"""Parts of a batch that ClickHouse refuses whole: halved until the rows that it will never take stand alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.warehouse.rowbinary import RowReader, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.segment import Batch, Record


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a batch's group commits, or some rows of one. Its token follows from the batch's and never changes."""

    batch: Batch
    records: tuple[Record, ...]

    @property
    def body(self) -> bytes:
        return b"".join(record.body for record in self.records)

    def halves(self) -> tuple[Part, ...]:
        """Two smaller parts; none where this is as small as can be told apart."""
        records = self.records if len(self.records) > 1 else _rows(self.records[0])
        if len(records) < 2:
            return ()
        middle = len(records) // 2
        return _part(self.batch, "0", records[:middle]), _part(self.batch, "1", records[middle:])


def whole(batch: Batch, records: Sequence[Record]) -> Part:
    """All of it."""
    return Part(replace(batch, token=f"{batch.token}-part-"), tuple(records))


def _part(batch: Batch, which: str, records: tuple[Record, ...]) -> Part:
    return Part(
        replace(
            batch,
            token=f"{batch.token}{which}",
            rows=sum(record.rows for record in records),
            bytes=sum(len(record.body) for record in records),
            first_seq=records[0].first_seq,
            last_seq=records[-1].last_seq,
            first_ts_ms=min(record.first_ts_ms for record in records),
            last_ts_ms=max(record.last_ts_ms for record in records),
        ),
        records,
    )


def _rows(record: Record) -> tuple[Record, ...]:
    """One record a share; none where its bytes are no shares."""
    if record.stream is not Stream.SHARES:
        return ()
    try:
        rows = RowReader(record.body).shares()
    except IndexError:
        return ()
    if len(rows) != record.rows:
        return ()
    return tuple(replace(record, rows=1, first_seq=seq, last_seq=seq, body=body) for seq, body in rows)
