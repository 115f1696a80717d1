from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from services.warehouse.rowbinary import COLUMNS, Stream
from services.warehouse.segment import BATCH_ROWS, Backlog, Record, Segment, SegmentClosedError
from services.warehouse.segment_files import segment_paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from services.warehouse.segment import Batch


@pytest.fixture
def segment(folder: Path) -> Iterator[Segment]:
    segment = Segment.create(folder)
    yield segment
    segment.release()


def shares(first_seq: int, rows: int = 1, body: bytes = b"") -> Record:
    body = body or b"".join(b"%d," % seq for seq in range(first_seq, first_seq + rows))
    return Record(Stream.SHARES, rows, first_seq, first_seq + rows - 1, 1000 + first_seq, 1000 + first_seq + rows, body)


def next_shares(segment: Segment) -> Batch:
    batch = segment.next_batch(Stream.SHARES, segment.last_commit)
    assert batch is not None
    return batch


def test_a_batch_holds_the_gathered_records_and_what_is_needed_to_find_them(segment: Segment) -> None:
    segment.append([shares(1, 3)])
    segment.append([shares(4, 2)])
    batch = next_shares(segment)
    assert (batch.rows, batch.first_seq, batch.last_seq, batch.first_ts_ms, batch.last_ts_ms) == (5, 1, 5, 1001, 1006)
    assert batch.columns == COLUMNS[Stream.SHARES]
    assert segment.body(batch) == b"1,2,3,4,5,"
    assert str(segment.id) in batch.token


def test_a_begun_batch_never_changes(segment: Segment) -> None:
    segment.append([shares(1)])
    begun = next_shares(segment)
    segment.append([shares(2)])
    assert not begun.repeated
    assert next_shares(segment) == replace(begun, repeated=True)
    segment.forget(begun)
    assert segment.body(next_shares(segment)) == b"2,"


def test_a_begun_batch_outlives_its_process(folder: Path) -> None:
    first = Segment.create(folder)
    first.append([shares(1)])
    begun = next_shares(first)
    first.append([shares(2)])
    first.release()
    (path,) = segment_paths(folder)
    second = Segment.claim(path)
    assert second is not None
    assert next_shares(second) == replace(begun, repeated=True)
    assert second.backlog.rows == 2
    second.release()


def test_batch_numbers_are_never_used_again(folder: Path) -> None:
    tokens = set()
    path = None
    for seq in range(1, 6):
        segment = Segment.claim(path) if path else Segment.create(folder)
        assert segment is not None
        segment.append([shares(seq), shares(100 + seq)][:1])
        batch = next_shares(segment)
        segment.forget(batch)
        tokens.add(batch.token)
        segment.append([shares(200 + seq)])
        path = segment.path
        segment.release()
    assert len(tokens) == 5


def test_batches_grow_with_the_backlog_up_to_a_bound(segment: Segment) -> None:
    for number in range(12):
        segment.append([shares(1 + number * 10_000, 10_000, b"x")])
    sizes = []
    while batch := segment.next_batch(Stream.SHARES, segment.last_commit):
        sizes.append(batch.rows)
        segment.forget(batch)
    assert sizes == [BATCH_ROWS, BATCH_ROWS, 20_000]


def test_a_round_takes_nothing_committed_after_its_start(segment: Segment) -> None:
    segment.append([shares(1)])
    up_to = segment.last_commit
    segment.append([shares(2)])
    batch = segment.next_batch(Stream.SHARES, up_to)
    assert batch is not None
    assert batch.rows == 1


def test_streams_do_not_mix(segment: Segment) -> None:
    segment.append([shares(1), Record(Stream.JOBS, 1, 0, 0, 5, 5, b"job")])
    job = segment.next_batch(Stream.JOBS, segment.last_commit)
    assert job is not None
    assert segment.body(job) == b"job"
    assert segment.body(next_shares(segment)) == b"1,"
    segment.forget(job)
    assert segment.body(next_shares(segment)) == b"1,"
    assert segment.next_batch(Stream.JOBS, segment.last_commit) is None


def test_the_backlog_counts_what_is_there(segment: Segment) -> None:
    assert segment.backlog == Backlog()
    segment.append([shares(1, 3, b"abc")])
    oldest = segment.backlog.oldest_ms
    segment.append([shares(4, 1, b"d")])
    assert segment.backlog == Backlog(4, 4, oldest)
    segment.forget(next_shares(segment))
    assert segment.backlog == Backlog()


def test_only_one_holds_a_segment_and_the_next_takes_it_over(segment: Segment, folder: Path) -> None:
    segment.append([shares(1)])
    assert Segment.claim(segment.path) is None
    segment.release()
    heir = Segment.claim(segment.path)
    assert heir is not None
    assert heir.id == segment.id
    heir.forget(next_shares(heir))
    heir.release()
    assert list(folder.iterdir()) == []
    assert Segment.claim(segment.path) is None
    assert list(folder.iterdir()) == []


def test_what_is_left_stays_on_disk_and_what_was_released_is_closed(segment: Segment, folder: Path) -> None:
    segment.append([shares(1)])
    batch = next_shares(segment)
    segment.release()
    segment.release()
    assert segment_paths(folder) == [segment.path]
    for use in (lambda: segment.append([shares(2)]), lambda: segment.body(batch), lambda: segment.forget(batch)):
        with pytest.raises(SegmentClosedError):
            use()


def test_a_file_whose_process_died_while_laying_it_out_is_cleared_away(folder: Path) -> None:
    Segment.create(folder).release()
    stem = "00000000-0000-4000-8000-000000000001"
    (folder / f"{stem}.sqlite").touch()
    (folder / "00000000-0000-4000-8000-000000000002.lock").touch()
    (folder / "notes.lock").touch()
    for path in segment_paths(folder):
        segment = Segment.claim(path)
        if segment is not None:
            segment.release()
    assert [path.name for path in folder.iterdir()] == ["notes.lock"]


def test_a_full_disk_refuses_and_leaves_the_rest_as_it_was(segment: Segment) -> None:
    segment.append([shares(1)])
    segment._connection.execute("PRAGMA max_page_count = 30")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        segment.append([shares(2, 1, bytes(1_000_000))])
    segment._connection.execute("PRAGMA max_page_count = 100000")
    segment.append([shares(3)])
    batch = next_shares(segment)
    assert segment.body(batch) == b"1,3,"
    assert (batch.rows, segment.backlog.rows) == (2, 2)


def test_what_is_forgotten_is_not_written_once_more(segment: Segment) -> None:
    """As zeros, which is what some builds of SQLite put over it."""
    segment.append([shares(1, 1, bytes(4_000_000))])
    segment._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    segment.forget(next_shares(segment))
    ((_, pages, _),) = segment._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert pages < 50


def test_disk_space_comes_back_after_a_backlog(segment: Segment) -> None:
    for number in range(24):
        segment.append([shares(1 + number, 1, bytes(4_000_000))])
    backlogged = segment.path.stat().st_size
    while batch := segment.next_batch(Stream.SHARES, segment.last_commit):
        segment.forget(batch)
    for seq in range(100, 108):
        segment.append([shares(seq)])
        segment.forget(next_shares(segment))
    assert segment.path.stat().st_size < backlogged * 0.85


def test_what_follows_a_batch_can_be_read_ahead_and_begins_as_it_is_forgotten(segment: Segment) -> None:
    segment.append([shares(1)])
    batch = next_shares(segment)
    assert segment.read_ahead(batch, segment.last_commit) is None
    segment.append([shares(2)])
    segment.append([shares(3)])
    ahead = segment.read_ahead(batch, segment.last_commit)
    assert ahead is not None
    assert ahead.body == b"2,3,"
    segment.append([shares(4)])
    assert next_shares(segment) == replace(batch, repeated=True)
    following = segment.forget(batch, ahead)
    assert following is not None
    assert segment.body(following) == ahead.body
    assert following.number > batch.number
    assert not following.repeated
    assert next_shares(segment) == replace(following, repeated=True)
    assert segment.forget(following) is None
    assert segment.body(next_shares(segment)) == b"4,"


def test_nothing_is_read_ahead_whose_job_may_not_be_there(segment: Segment) -> None:
    segment.append([shares(1)])
    up_to = segment.last_commit
    batch = next_shares(segment)
    segment.append([shares(2)])
    segment.append([shares(3), Record(Stream.JOBS, 1, 0, 0, 5, 5, b"job")])
    segment.append([shares(4)])
    ahead = segment.read_ahead(batch, up_to)
    assert ahead is not None
    assert ahead.body == b"2,"
    ahead = segment.read_ahead(batch, segment.last_commit)
    assert ahead is not None
    assert ahead.body == b"2,3,4,"
