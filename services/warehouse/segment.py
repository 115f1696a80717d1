"""One segment of the spool: an SQLite file that one process start fills and a shipper empties.

A segment has a random 128-bit id and is written by one process only; `ID.lock` beside it is held (flock) by whoever
fills or ships it, so a segment whose lock can be had belongs to a dead process. Rows lie in it as RowBinary, one record
per group commit and stream. A batch is a run of records whose bounds are recorded before it is first sent, and never
change; batch numbers are never used again (AUTOINCREMENT: SQLite reissues the row ids of an emptied table otherwise).

A segment names its streams, each with the columns of its rows, so that another release ships it too: a stream that it
does not have is empty, one that this code does not know stays in the file for the release that does.

Durability: WAL with synchronous=FULL, so a commit that returned survives a power cut. The lock is a file of its own
because closing any descriptor of an SQLite file drops the locks that SQLite holds on it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from services.warehouse.rowbinary import Stream
from services.warehouse.segment_files import SUFFIX, lock_path, sync_folder, take_lock
from services.warehouse.segment_layout import FREE_BYTES, LAYOUT, connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BATCH_ROWS: Final = 50_000
BATCH_BYTES: Final = 32 * 1024 * 1024
_VACUUM_PAGES = 4_000


class SegmentClosedError(Exception):
    """The segment was let go: what it still holds is shipped by whoever claims its lock next."""


@dataclass(frozen=True, slots=True)
class Record:
    """The rows of one stream in one group commit."""

    stream: Stream
    rows: int
    first_seq: int
    last_seq: int
    first_ts_ms: int
    last_ts_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent in one INSERT, the same at every attempt."""

    segment: UUID
    number: int
    stream: Stream
    columns: tuple[str, ...]
    first_id: int
    last_id: int
    rows: int
    bytes: int
    first_seq: int
    last_seq: int
    first_ts_ms: int
    last_ts_ms: int
    first_sent_ms: int
    token: str
    """What ClickHouse knows a repeat by. It names the bounds: two copies of a segment may cut them differently."""
    repeated: bool
    """Whether it may have been sent before: it was begun already, by this process or one that is dead."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What follows a batch, read while that one is on its way. Nothing of it is recorded yet."""

    stream: Stream
    bounds: tuple[int, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a segment still holds."""

    rows: int = 0
    bytes: int = 0
    oldest_ms: int | None = None
    """When the oldest record was committed, unix milliseconds."""


class Segment:
    """An open segment, held by this process. Its methods may be called from any thread."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.id = UUID(path.stem)
        self._lock_descriptor = lock
        # SQLite takes one writer at a time and makes the other one sleep; this mutex hands over at once.
        self._mutex = threading.Lock()
        self._closed = False
        self._connection = connect(path)
        # Bodies are read on a connection of their own, so that reading 32 MiB holds no commit up.
        self._reader = connect(path)
        self._reading = threading.Lock()
        self._commits = 0
        self._streams: tuple[Stream, ...] = ()
        self._foreign_streams: tuple[str, ...] = ()
        self._names_bounds = False
        self.backlog = Backlog()
        try:
            self._read_streams()
            self._measure()
        except BaseException:
            self._reader.close()
            self._connection.close()
            raise

    @classmethod
    def create(cls, folder: Path) -> Segment:
        """A new, empty segment. Raises OSError or sqlite3.Error where the folder cannot hold one."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            path = folder / f"{uuid4()}{SUFFIX}"
            lock = take_lock(path)
            if lock is not None:
                break
        try:
            with closing(connect(path)) as connection:
                connection.executescript(f"BEGIN IMMEDIATE;{LAYOUT}COMMIT;")
            sync_folder(folder)
            return cls(path, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def claim(cls, path: Path) -> Segment | None:
        """A dead process's segment, or None while another process holds it or once it is gone."""
        lock = take_lock(path)
        if lock is None:
            return None
        try:
            if not path.exists():
                lock_path(path).unlink(missing_ok=True)
                os.close(lock)
                return None
            return cls(path, lock)
        except BaseException:
            os.close(lock)
            raise

    def append(self, records: Sequence[Record]) -> None:
        """Commits the records durably, all or none. Raises sqlite3.Error (disk full, failing), SegmentClosedError."""
        now_ms = time.time_ns() // 1_000_000
        with self._transaction() as connection:
            number = self._commits + 1
            for record in records:
                connection.execute(
                    f"INSERT INTO {record.stream.value} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - an Enum's word
                    (
                        number,
                        record.rows,
                        len(record.body),
                        now_ms,
                        record.first_seq,
                        record.last_seq,
                        record.first_ts_ms,
                        record.last_ts_ms,
                        record.body,
                    ),
                )
            connection.execute("COMMIT")
            self._commits = number
            self.backlog = Backlog(
                self.backlog.rows + sum(record.rows for record in records),
                self.backlog.bytes + sum(len(record.body) for record in records),
                now_ms if self.backlog.oldest_ms is None else self.backlog.oldest_ms,
            )

    def probe(self) -> None:
        """Writes durably, to find out whether the disk can again. Raises as `append` does."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO probe VALUES (1, ?)", (time.time_ns() // 1_000_000,))
            connection.execute("COMMIT")

    @property
    def last_commit(self) -> int:
        """Number of the newest group commit; the bound of what a round of shipping takes."""
        return self._commits

    def next_batch(self, stream: Stream, up_to: int) -> Batch | None:
        """The batch of this stream that was begun, or a new one of what was committed no later than commit `up_to`."""
        if stream not in self._streams:
            return None
        with self._transaction() as connection:
            batch = self._begun(connection, stream)
            if batch is not None:
                connection.execute("ROLLBACK")
                return batch
            bounds = self._bounds(connection, stream, 0, up_to)
            if bounds is None:
                connection.execute("ROLLBACK")
                return None
            batch = self._begin(connection, stream, bounds)
            connection.execute("COMMIT")
            return batch

    def read_ahead(self, batch: Batch, up_to: int) -> Ahead | None:
        """What comes after `batch`, as far as no job does that was committed after `up_to`."""
        with self._reading:
            if self._closed:
                raise SegmentClosedError
            last = self._commits
            if Stream.JOBS in self._streams:
                (job,) = self._reader.execute("SELECT min(id) FROM jobs WHERE id > ?", (up_to,)).fetchone()
                last = last if job is None else min(last, job - 1)
            bounds = self._bounds(self._reader, batch.stream, batch.last_id, last)
            if bounds is None:
                return None
            bodies = self._reader.execute(
                f"SELECT body FROM {batch.stream.value} WHERE id BETWEEN ? AND ? ORDER BY id",  # noqa: S608
                bounds[:2],
            ).fetchall()
        return Ahead(batch.stream, bounds, b"".join([body for (body,) in bodies]))

    def body(self, batch: Batch) -> bytes:
        """The batch's rows as they are posted."""
        return b"".join(record.body for record in self.records(batch))

    def records(self, batch: Batch) -> list[Record]:
        """The same, by group commit."""
        with self._reading:
            if self._closed:
                raise SegmentClosedError
            rows = self._reader.execute(
                "SELECT rows, first_seq, last_seq, first_ts_ms, last_ts_ms, body"  # noqa: S608 - an Enum's word
                f" FROM {batch.stream.value} WHERE id BETWEEN ? AND ? ORDER BY id",
                (batch.first_id, batch.last_id),
            ).fetchall()
        return [Record(batch.stream, *row) for row in rows]

    def forget(self, batch: Batch, then: Ahead | None = None) -> Batch | None:
        """Deletes a batch that ClickHouse has, and gives disk space back after a large backlog.

        With `then` begins the batch that follows it, in the same commit.
        """
        with self._transaction() as connection:
            connection.execute(
                f"DELETE FROM {batch.stream.value} WHERE id BETWEEN ? AND ?",  # noqa: S608
                (batch.first_id, batch.last_id),
            )
            connection.execute("DELETE FROM batches WHERE number = ?", (batch.number,))
            following = None if then is None else self._begin(connection, then.stream, then.bounds)
            connection.execute("COMMIT")
            self.backlog = Backlog(
                self.backlog.rows - batch.rows, self.backlog.bytes - batch.bytes, self._oldest_ms(connection)
            )
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            (free_pages,) = connection.execute("PRAGMA freelist_count").fetchone()
            if free_pages * page_bytes > FREE_BYTES:
                # executescript steps to the end; execute would free a single page.
                connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            return following

    def renew(self, batch: Batch) -> None:
        """Has a begun batch go under other tokens from now on: crashes have used up those that it had."""
        with self._transaction() as connection:
            if not self._names_bounds:
                connection.execute("ALTER TABLE batches ADD COLUMN token TEXT NOT NULL DEFAULT ''")
            connection.execute("UPDATE batches SET token = ? WHERE number = ?", (f"{batch.token}-again", batch.number))
            connection.execute("COMMIT")
            self._names_bounds = True

    @property
    def is_closed(self) -> bool:
        return self._closed

    def release(self) -> None:
        """Lets the segment go; deletes its file if nothing is left in it. Does nothing the second time."""
        with self._mutex, self._reading:
            if self._closed:
                return
            self._closed = True
            emptied = self._oldest_ms(self._connection) is None and not self._holds_foreign_rows()
            self._reader.close()
            self._connection.close()
            if emptied:
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                lock_path(self.path).unlink(missing_ok=True)
            os.close(self._lock_descriptor)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            if self._closed:
                raise SegmentClosedError
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                with suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                raise

    def _begun(self, connection: sqlite3.Connection, stream: Stream) -> Batch | None:
        token = "token" if self._names_bounds else "''"
        row = connection.execute(
            "SELECT number, columns, first_id, last_id, rows, bytes, first_seq, last_seq, first_ts_ms, last_ts_ms,"  # noqa: S608
            f" first_sent_ms, {token} FROM batches WHERE stream = ?",
            (stream.value,),
        ).fetchone()
        if row is None:
            return None
        number, columns, *others = row
        others[-1] = others[-1] or f"{self.id}-{stream.value}-{number}"
        others.append(True)  # it may have been sent
        return Batch(self.id, number, stream, tuple(columns.split(",")), *others)

    def _begin(self, connection: sqlite3.Connection, stream: Stream, bounds: tuple[int, ...]) -> Batch:
        connection.execute(
            "INSERT INTO batches (stream, columns, first_id, last_id, rows, bytes, first_seq, last_seq,"
            " first_ts_ms, last_ts_ms, first_sent_ms)"
            " VALUES (?, (SELECT columns FROM streams WHERE stream = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (stream.value, stream.value, *bounds, time.time_ns() // 1_000_000),
        )
        if self._names_bounds:
            connection.execute(
                "UPDATE batches SET token = ? || number || ? WHERE stream = ?",
                (f"{self.id}-{stream.value}-", f"-{bounds[0]}-{bounds[1]}", stream.value),
            )
        batch = self._begun(connection, stream)
        assert batch is not None
        return replace(batch, repeated=False)

    @staticmethod
    def _bounds(connection: sqlite3.Connection, stream: Stream, after: int, up_to: int) -> tuple[int, ...] | None:
        chosen: list[int] = []
        for first_id, rows, size, first_seq, last_seq, first_ts, last_ts in connection.execute(
            "SELECT id, rows, bytes, first_seq, last_seq, first_ts_ms, last_ts_ms"  # noqa: S608
            f" FROM {stream.value} WHERE id > ? AND id <= ? ORDER BY id",
            (after, up_to),
        ):
            if not chosen:
                chosen = [first_id, first_id, rows, size, first_seq, last_seq, first_ts, last_ts]
                continue
            if chosen[2] + rows > BATCH_ROWS or chosen[3] + size > BATCH_BYTES:
                break
            chosen[1:4] = first_id, chosen[2] + rows, chosen[3] + size
            chosen[5:] = last_seq, min(chosen[6], first_ts), max(chosen[7], last_ts)
        return tuple(chosen) or None

    def _read_streams(self) -> None:
        if self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            return  # its process died before it had laid out the file
        known = {stream.value for stream in Stream}
        names = [name for (name,) in self._connection.execute("SELECT stream FROM streams")]
        self._streams = tuple(stream for stream in Stream if stream.value in names)
        self._foreign_streams = tuple(name for name in names if name not in known)
        # Segments of earlier releases go on with the tokens that may have been sent already.
        columns = [row[1] for row in self._connection.execute("PRAGMA table_info(batches)")]
        self._names_bounds = "token" in columns

    def _measure(self) -> None:
        rows = size = 0
        for stream in self._streams:
            count, total, last_id = self._connection.execute(
                f"SELECT total(rows), total(bytes), max(id) FROM {stream.value}"  # noqa: S608
            ).fetchone()
            rows += int(count)
            size += int(total)
            self._commits = max(self._commits, last_id or 0)
        self.backlog = Backlog(rows, size, self._oldest_ms(self._connection))

    def _holds_foreign_rows(self) -> bool:
        return any(
            self._connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608 - in a file of ours
            for name in self._foreign_streams
        )

    def _oldest_ms(self, connection: sqlite3.Connection) -> int | None:
        firsts = (
            connection.execute(f"SELECT committed_ms FROM {stream.value} ORDER BY id LIMIT 1").fetchone()  # noqa: S608
            for stream in self._streams
        )
        return min((first[0] for first in firsts if first is not None), default=None)
