"""The durable spool: every row is on disk before anyone is told that it counts.

The event-loop thread packs a row and appends it to the group that is gathering. A writer thread takes the group,
commits it to the segment (services.warehouse.segment) and has the callbacks run on the loop: one wake-up per group.
At rest a row waits for one fsync, 0.5 ms measured; under load the writer lets a group gather for a while, since a
commit costs the same CPU time whatever is in it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.segment import Record, Segment
from services.warehouse.segment_files import file_bytes, segment_paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from services.warehouse.records import BlockCandidate, FoundBlock, JobRecord, Share

log = structlog.get_logger()

GROUP_ROWS: Final = 10_000
GATHER_SECONDS: Final = 0.004
CANDIDATE_RESERVE_BYTES: Final = 64 * 1024 * 1024
_HELD_BACK_ROWS: Final = 10_000
_OTHERS_EVERY_SECONDS: Final = 2.0
_WARN_EVERY_SECONDS: Final = 60.0
_PROBE_EVERY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Row:
    """A job, a block candidate or a found block."""

    stream: Stream
    body: bytes
    ts_ms: int
    on_durable: Callable[[bool], None] | None


@dataclass(slots=True)
class _Group:
    """What gathers for one commit. Shares lie in lists of their own: one append each on the hot path."""

    shares: list[bytes] = field(default_factory=list)
    callbacks: list[Callable[[bool], None]] = field(default_factory=list)
    first_seq: int = 0
    first_ts_ms: int = 0
    last_ts_ms: int = 0
    others: list[_Row] = field(default_factory=list)


class Spool:
    """One segment, opened per process start, in a folder of segments. Made on the event loop that will use it.

    `unrecorded_shares` counts the shares that got on_durable(False), `unrecorded_candidates` the rows of block
    candidates for which even their reserve had no room.
    """

    def __init__(
        self,
        segment: Segment,
        folder: Path,
        max_bytes: int,
        gather_seconds: float,
        on_commit: Callable[[float], None] | None,
    ) -> None:
        self.held = segment
        self.unrecorded_shares = 0
        self.unrecorded_candidates = 0
        self.recorded_shares = 0
        self.group_commits = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._gather_seconds = gather_seconds
        self._on_commit = on_commit
        self._others_bytes = 0
        self._others_measured = -_OTHERS_EVERY_SECONDS
        self._encoder = RowEncoder(segment.id)
        self._seq = 0
        self._held_back: list[_Row] = []
        self._warned: dict[str, float] = {}
        self._disk_failing = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._group = _Group()
        self._gathering = threading.Lock()
        self._ready = threading.Event()
        self._writer = threading.Thread(target=self._write, name="spool-writer", daemon=True)
        self._writer.start()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        max_bytes: int,
        gather_seconds: float = GATHER_SECONDS,
        on_commit: Callable[[float], None] | None = None,
    ) -> Spool:
        """A new segment in `folder`, which is made if need be. `max_bytes` bounds what all the folder's segments hold.

        Between two commits there are `gather_seconds` at least: at most so long does a share wait for others.
        `on_commit` is told, in the writer's thread, how many seconds each took.
        Raises OSError if the folder cannot be written.
        """
        try:
            return cls(Segment.create(folder), folder, max_bytes, gather_seconds, on_commit)
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
    def used_bytes(self) -> int:
        """What counts towards the limit: this segment's rows, and the files of all others."""
        return self.held.backlog.bytes + self._others_bytes

    @property
    def limit_bytes(self) -> int:
        return self._max_bytes

    @property
    def is_full(self) -> bool:
        return self.held.backlog.bytes + self._others_bytes >= self._max_bytes

    def append_share(self, share: Share, on_durable: Callable[[bool], None]) -> None:
        """Spools a share. `on_durable` is called on the loop: True once it is on disk, False if it was not recorded.

        Raises ValueError if a fixed-width field has another width, RuntimeError after `close`.
        """
        self._seq = seq = self._seq + 1
        body = self._encoder.share(share, seq)
        ts_ms = share.ts_ms
        with self._gathering:
            if self._closed:
                raise RuntimeError("the spool is closed")
            group = self._group
            if group.shares:
                if ts_ms > group.last_ts_ms:
                    group.last_ts_ms = ts_ms
                elif ts_ms < group.first_ts_ms:
                    group.first_ts_ms = ts_ms
            else:
                group.first_seq = seq
                group.first_ts_ms = group.last_ts_ms = ts_ms
                self._ready.set()
            group.shares.append(body)
            group.callbacks.append(on_durable)

    def append_job(self, job: JobRecord) -> None:
        """Spools a job. Call it before the job's first share; it is kept even while the spool refuses shares."""
        self._append(_Row(Stream.JOBS, self._encoder.job(job), job.sent_ms, None))

    def append_found_block(self, block: FoundBlock, on_durable: Callable[[bool], None] | None = None) -> None:
        """Spools a found block; never refused for want of room."""
        self._append(_Row(Stream.FOUND_BLOCKS, self._encoder.found_block(block), block.ts_ms, on_durable))

    def append_block_candidate(self, candidate: BlockCandidate) -> None:
        """Spools a block candidate; kept even while the spool refuses shares, and tried again while its disk fails.

        Only beyond a reserve of its own, which a pool would fill whose network target every share meets, is it refused.
        """
        if self.used_bytes >= self._max_bytes + CANDIDATE_RESERVE_BYTES:
            self.unrecorded_candidates += 1
            self._warn("block_candidates_not_recorded", reserve_bytes=CANDIDATE_RESERVE_BYTES)
            return
        body = self._encoder.block_candidate(candidate)
        self._append(_Row(Stream.BLOCK_CANDIDATES, body, candidate.ts_ms, None))

    async def close(self) -> None:
        """Commits what has gathered and lets the segment go; a shipper then finds what is left in it. Idempotent."""
        with self._gathering:
            self._closed = True
            self._ready.set()
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self.held.release)

    def _append(self, row: _Row) -> None:
        with self._gathering:
            if self._closed:
                raise RuntimeError("the spool is closed")
            self._group.others.append(row)
            self._ready.set()

    def _write(self) -> None:
        open_for_more = True
        next_at = 0.0
        while open_for_more:
            # A full spool has to see by itself that others' segments are gone: no share may come before it has.
            self._ready.wait(_PROBE_EVERY_SECONDS if self._held_back or not self.is_recording else None)
            if (early := next_at - time.monotonic()) > 0:
                time.sleep(early)
            next_at = time.monotonic() + self._gather_seconds
            with self._gathering:
                self._ready.clear()
                group, self._group = self._group, _Group()
                open_for_more = not self._closed
            try:
                self._commit_group(group)
            except Exception:
                # Nothing above should raise; if it does, the spool must go on for the next rows.
                log.exception("spool_writer_error", segment=str(self.segment))

    def _commit_group(self, group: _Group) -> None:
        self._measure_others()
        others = self._held_back + group.others
        for at in range(0, len(group.shares) or 1, GROUP_ROWS):
            bodies = group.shares[at : at + GROUP_ROWS]
            records = [_record(stream, others) for stream in {row.stream for row in others}]
            if refused := bool(bodies) and self.is_full:
                self._warn("spool_full", bytes=self.used_bytes, limit_bytes=self._max_bytes)
            elif bodies:
                first = group.first_seq + at
                times = group.first_ts_ms, group.last_ts_ms
                records.append(
                    Record(Stream.SHARES, len(bodies), first, first + len(bodies) - 1, *times, b"".join(bodies))
                )
            durable = self._commit(records)
            if durable and not refused:
                self.recorded_shares += len(bodies)
            else:
                self.unrecorded_shares += len(bodies)
            self._tell(group.callbacks[at : at + GROUP_ROWS], durable and not refused)
            self._tell([row.on_durable for row in others if row.on_durable is not None], durable)
            # A job that is lost here would leave its later shares without proof; it is tried again.
            others = [] if durable else [row for row in others if row.on_durable is None]
        self._held_back = others[-_HELD_BACK_ROWS:]

    def _commit(self, records: list[Record]) -> bool:
        try:
            if records:
                began = time.monotonic()
                self.held.append(records)
                self.group_commits += 1
                if self._on_commit is not None:
                    self._on_commit(time.monotonic() - began)
            elif self._disk_failing:
                self.held.probe()
        except (sqlite3.Error, OSError) as error:
            self._disk_failing = True
            self._warn("spool_disk_failing", error=str(error))
            return False
        self._disk_failing = False
        return True

    def _tell(self, callbacks: list[Callable[[bool], None]], durable: bool) -> None:
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
        if now - self._warned.get(event, -_WARN_EVERY_SECONDS) >= _WARN_EVERY_SECONDS:
            self._warned[event] = now
            log.error(event, segment=str(self.segment), unrecorded_shares=self.unrecorded_shares, **facts)


def _record(stream: Stream, rows: list[_Row]) -> Record:
    mine = [row for row in rows if row.stream is stream]
    times = [row.ts_ms for row in mine]
    return Record(stream, len(mine), 0, 0, min(times), max(times), b"".join([row.body for row in mine]))


def _call_all(callbacks: list[Callable[[bool], None]], durable: bool) -> None:
    for callback in callbacks:
        try:
            callback(durable)
        except Exception:
            log.exception("on_durable_failed")
