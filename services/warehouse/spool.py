"""The durable spool: every row is on disk before anyone is told that it counts.

The event-loop thread packs a row and puts it on a queue. A writer thread takes whatever has gathered, commits it as one
group (services.warehouse.segment) and has the callbacks run on the loop: one wake-up per group. Under load groups grow
by themselves; at rest a row waits for one fsync.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

import structlog

from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.segment import Record, Segment, file_bytes, segment_paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from services.warehouse.records import FoundBlock, JobRecord, Share

log = structlog.get_logger()

GROUP_ROWS: Final = 10_000
_HELD_BACK_ROWS: Final = 10_000
_OTHERS_EVERY_SECONDS: Final = 2.0
_WARN_EVERY_SECONDS: Final = 60.0
_PROBE_EVERY_SECONDS: Final = 1.0

# Stream, encoded row, sequence number, time in unix ms, callback. A bare tuple: one is made per share.
_Row = tuple[Stream, bytes, int, int, "Callable[[bool], None] | None"]


class Spool:
    """One segment, opened per process start, in a folder of segments. Made on the event loop that will use it.

    `unrecorded_shares` counts the shares that got on_durable(False).
    """

    def __init__(self, segment: Segment, folder: Path, max_bytes: int) -> None:
        self.held = segment
        self.unrecorded_shares = 0
        self.recorded_shares = 0
        self.group_commits = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._others_bytes = 0
        self._others_measured = -_OTHERS_EVERY_SECONDS
        self._encoder = RowEncoder(segment.id)
        self._seq = 0
        self._held_back: list[_Row] = []
        self._warned = -_WARN_EVERY_SECONDS
        self._disk_failing = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Row | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="spool-writer", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, folder: Path, *, max_bytes: int) -> Spool:
        """A new segment in `folder`, which is made if need be. `max_bytes` bounds what all the folder's segments hold.

        Raises OSError if the folder cannot be written.
        """
        try:
            return cls(Segment.create(folder), folder, max_bytes)
        except sqlite3.Error as error:
            raise OSError(f"cannot open a spool in {folder}: {error}") from error

    @property
    def segment(self) -> UUID:
        return self.held.id

    @property
    def depth_rows(self) -> int:
        """Rows on disk that ClickHouse is not known to have."""
        return self.held.backlog.rows

    @property
    def depth_bytes(self) -> int:
        return self.held.backlog.bytes

    @property
    def oldest_age_seconds(self) -> float:
        """Age of the oldest row that waits to be shipped; 0 if none does."""
        oldest_ms = self.held.backlog.oldest_ms
        return 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)

    @property
    def is_recording(self) -> bool:
        """False while rows are refused: the spool is full, or its disk fails. For /readyz."""
        return not self._disk_failing and not self.is_full

    @property
    def is_full(self) -> bool:
        return self.held.backlog.bytes + self._others_bytes >= self._max_bytes

    def append_share(self, share: Share, on_durable: Callable[[bool], None]) -> None:
        """Spools a share. `on_durable` is called on the loop: True once it is on disk, False if it was not recorded."""
        self._seq = seq = self._seq + 1
        self._put((Stream.SHARES, self._encoder.share(share, seq), seq, share.ts_ms, on_durable))

    def append_job(self, job: JobRecord) -> None:
        """Spools a job. Call it before the job's first share; it is kept even while the spool refuses shares."""
        self._put((Stream.JOBS, self._encoder.job(job), 0, job.sent_ms, None))

    def append_found_block(self, block: FoundBlock, on_durable: Callable[[bool], None] | None = None) -> None:
        """Spools a found block; never refused for want of room."""
        self._put((Stream.FOUND_BLOCKS, self._encoder.found_block(block), 0, block.ts_ms, on_durable))

    async def close(self) -> None:
        """Commits what is queued and lets the segment go; a shipper then finds what is left in it. Idempotent."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self.held.release)

    def _put(self, row: _Row) -> None:
        if self._closed:
            raise RuntimeError("the spool is closed")
        self._queue.put(row)

    def _write(self) -> None:
        more = True
        while more:
            try:
                rows, more = self._gather()
                self._commit_group(rows)
            except Exception:
                # Nothing above should raise; if it does, the spool must go on for the next rows.
                log.exception("spool_writer_error", segment=str(self.segment))

    def _gather(self) -> tuple[list[_Row], bool]:
        """What has gathered, and whether more may come. Waits for a row unless something is to be tried again."""
        rows: list[_Row] = []
        try:
            row = self._queue.get(timeout=_PROBE_EVERY_SECONDS if self._held_back or self._disk_failing else None)
            while row is not None:
                rows.append(row)
                if len(rows) == GROUP_ROWS:
                    return rows, True
                row = self._queue.get_nowait()
        except Empty:
            return rows, True
        return rows, False

    def _commit_group(self, rows: list[_Row]) -> None:
        self._measure_others()
        refused: list[_Row] = []
        if self.is_full:
            refused = [row for row in rows if row[0] is Stream.SHARES]
            rows = [row for row in rows if row[0] is not Stream.SHARES]
        held_back, self._held_back = self._held_back, []
        rows = held_back + rows
        try:
            if rows:
                self.held.append([_record(stream, rows) for stream in {row[0] for row in rows}])
                self.group_commits += 1
            elif self._disk_failing:
                self.held.probe()
            self._disk_failing = False
        except (sqlite3.Error, OSError) as error:
            self._disk_failing = True
            # A job that is lost here would leave its later shares without proof; it is tried again.
            self._held_back = [row for row in rows if row[4] is None][-_HELD_BACK_ROWS:]
            refused += [row for row in rows if row[4] is not None]
            rows = []
            self._warn("spool_disk_failing", error=str(error))
        if refused and not self._disk_failing:
            self._warn("spool_full", bytes=self.depth_bytes + self._others_bytes, limit_bytes=self._max_bytes)
        self.recorded_shares += sum(row[0] is Stream.SHARES for row in rows)
        self.unrecorded_shares += sum(row[0] is Stream.SHARES for row in refused)
        self._tell(rows, True)
        self._tell(refused, False)

    def _tell(self, rows: list[_Row], durable: bool) -> None:
        callbacks = [row[4] for row in rows if row[4] is not None]
        if callbacks:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(_call_all, callbacks, durable)

    def _measure_others(self) -> None:
        now = time.monotonic()
        if now - self._others_measured >= _OTHERS_EVERY_SECONDS:
            self._others_measured = now
            self._others_bytes = sum(file_bytes(path) for path in segment_paths(self._folder) if path != self.held.path)

    def _warn(self, event: str, **facts: object) -> None:
        now = time.monotonic()
        if now - self._warned >= _WARN_EVERY_SECONDS:
            self._warned = now
            log.error(event, segment=str(self.segment), unrecorded_shares=self.unrecorded_shares, **facts)


def _record(stream: Stream, rows: list[_Row]) -> Record:
    mine = [row for row in rows if row[0] is stream]
    times = [row[3] for row in mine]
    return Record(
        stream, len(mine), mine[0][2], mine[-1][2], min(times), max(times), b"".join([row[1] for row in mine])
    )


def _call_all(callbacks: list[Callable[[bool], None]], durable: bool) -> None:
    for callback in callbacks:
        try:
            callback(durable)
        except Exception:
            log.exception("on_durable_failed")
