from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from services.tests.warehouse.rows import make_block_candidate, make_found_block, make_job, make_share
from services.warehouse.rowbinary import RowReader, Stream
from services.warehouse.segment import Segment
from services.warehouse.segment_files import segment_paths
from services.warehouse.spool import CANDIDATE_RESERVE_BYTES, GROUP_ROWS, Spool

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator
    from pathlib import Path

ROOM = 1 << 30


@pytest.fixture
async def spool(folder: Path) -> AsyncIterator[Spool]:
    spool = Spool.open(folder, max_bytes=ROOM)
    yield spool
    await spool.close()


class Verdicts:
    """Collects what callbacks are told, in order."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def __call__(self, durable: bool) -> None:
        self.told.append(durable)

    async def count(self, count: int) -> list[bool]:
        async with asyncio.timeout(30):
            while len(self.told) < count:
                await asyncio.sleep(0.005)
        return self.told


def rows_on_disk(path: Path) -> list[tuple[int, bytes]]:
    with closing(sqlite3.connect(path)) as connection:
        bodies = connection.execute("SELECT body FROM shares ORDER BY id").fetchall()
    return RowReader(b"".join(body for (body,) in bodies)).shares()


async def test_a_share_is_on_disk_when_its_callback_runs(spool: Spool, generator: random.Random) -> None:
    seen: list[int] = []
    loop_thread = asyncio.get_running_loop()
    for count in range(1, 4):
        done = asyncio.Event()

        def on_durable(durable: bool, done: asyncio.Event = done) -> None:
            assert durable
            assert asyncio.get_running_loop() is loop_thread
            seen.append(len(rows_on_disk(spool.held.path)))
            done.set()

        spool.append_share(make_share(generator), on_durable)
        await done.wait()
        assert seen[-1] == count


async def test_between_two_commits_is_the_time_that_was_asked_for(folder: Path, generator: random.Random) -> None:
    taken: list[float] = []
    spool = Spool.open(folder, max_bytes=ROOM, gather_seconds=0.2, on_commit=taken.append)
    try:
        verdicts, began = Verdicts(), time.monotonic()
        for count in range(1, 4):
            spool.append_share(make_share(generator), verdicts)
            await verdicts.count(count)
        assert time.monotonic() - began >= 2 * 0.2
        assert spool.group_commits == len(taken) == 3
    finally:
        await spool.close()


async def test_what_gathers_is_one_commit_in_order(spool: Spool, generator: random.Random) -> None:
    verdicts = Verdicts()
    for _ in range(2 * GROUP_ROWS + 5):
        spool.append_share(make_share(generator, accepted=True), verdicts)
    assert set(await verdicts.count(2 * GROUP_ROWS + 5)) == {True}
    assert [seq for seq, _ in rows_on_disk(spool.held.path)] == list(range(1, 2 * GROUP_ROWS + 6))
    assert spool.group_commits < 200
    assert spool.depth_rows == spool.recorded_shares == 2 * GROUP_ROWS + 5
    assert spool.oldest_age_seconds > 0


async def test_a_job_is_committed_no_later_than_its_share(spool: Spool, generator: random.Random) -> None:
    verdicts = Verdicts()
    spool.append_job(make_job(generator))
    spool.append_share(make_share(generator), verdicts)
    await verdicts.count(1)
    with closing(sqlite3.connect(spool.held.path)) as connection:
        (job,), (share,) = (connection.execute(f"SELECT id FROM {table}").fetchone() for table in ("jobs", "shares"))
    assert job <= share


async def test_close_keeps_what_was_appended_and_takes_no_more(folder: Path, generator: random.Random) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    verdicts = Verdicts()
    for _ in range(500):
        spool.append_share(make_share(generator), verdicts)
    spool.append_found_block(make_found_block(generator), verdicts)
    await spool.close()
    await spool.close()
    assert await verdicts.count(501) == [True] * 501
    with pytest.raises(RuntimeError, match="closed"):
        spool.append_share(make_share(generator), verdicts)
    heir = Segment.claim(segment_paths(folder)[0])
    assert heir is not None
    assert heir.backlog.rows == 501
    heir.release()


async def test_an_empty_spool_leaves_no_file(folder: Path) -> None:
    await Spool.open(folder, max_bytes=ROOM).close()
    assert segment_paths(folder) == []


async def test_a_spool_that_others_filled_takes_shares_again_by_itself(folder: Path, generator: random.Random) -> None:
    spool, verdicts = Spool.open(folder, max_bytes=1000), Verdicts()
    others = folder / f"{uuid4()}.sqlite"
    others.write_bytes(b"x" * 2000)
    spool.append_share(make_share(generator), verdicts)
    assert await verdicts.count(1) == [False]
    assert not spool.is_recording
    assert spool.used_bytes == 2000
    others.unlink()
    async with asyncio.timeout(50):
        while not spool.is_recording:
            await asyncio.sleep(0.05)
    assert spool.used_bytes == 0
    await spool.close()


async def test_a_full_spool_refuses_shares_but_keeps_jobs_and_blocks(folder: Path, generator: random.Random) -> None:
    spool = Spool.open(folder, max_bytes=20_000)
    verdicts = Verdicts()
    for count in range(1, 200):
        spool.append_share(make_share(generator), verdicts)
        await verdicts.count(count)
    assert verdicts.told == sorted(verdicts.told, reverse=True)
    assert False in verdicts.told
    assert spool.depth_bytes < 21_000
    assert not spool.is_recording
    assert spool.unrecorded_shares == verdicts.told.count(False)
    spool.append_job(make_job(generator))
    jobs = Verdicts()
    spool.append_found_block(make_found_block(generator), jobs)
    spool.append_block_candidate(make_block_candidate(generator))
    async with asyncio.timeout(30):
        while (candidates := spool.held.next_batch(Stream.BLOCK_CANDIDATES, spool.held.last_commit)) is None:
            await asyncio.sleep(0.005)
    assert candidates.rows == 1
    assert await jobs.count(1) == [True]

    batch = spool.held.next_batch(Stream.SHARES, spool.held.last_commit)
    assert batch is not None
    spool.held.forget(batch)
    assert spool.is_recording
    spool.append_share(make_share(generator), verdicts)
    assert (await verdicts.count(200))[-1]
    await spool.close()


async def test_block_candidates_have_a_reserve_that_ends_too(
    folder: Path, generator: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = Spool.open(folder, max_bytes=0)
    blocks = Verdicts()
    spool.append_job(make_job(generator, coinbase1=bytes(CANDIDATE_RESERVE_BYTES)))
    spool.append_found_block(make_found_block(generator), blocks)
    spool.append_share(make_share(generator), blocks)
    await blocks.count(2)
    spool.append_block_candidate(make_block_candidate(generator))
    spool.append_found_block(make_found_block(generator), blocks)
    await blocks.count(3)
    assert spool.held.next_batch(Stream.BLOCK_CANDIDATES, spool.held.last_commit) is None
    await spool.close()
    # That shares are refused, which is told just before, hides nothing of it.
    told = capsys.readouterr().out
    assert told.index("spool_full") < told.index("block_candidates_not_recorded")


async def test_segments_of_others_count_against_the_bound(folder: Path, generator: random.Random) -> None:
    first = Spool.open(folder, max_bytes=ROOM)
    verdicts = Verdicts()
    for _ in range(1000):
        first.append_share(make_share(generator), verdicts)
    await first.close()
    second = Spool.open(folder, max_bytes=100_000)
    second.append_share(make_share(generator), verdicts)
    assert not (await verdicts.count(1001))[-1]
    await second.close()


async def test_a_failing_disk_is_told_and_jobs_are_tried_again(spool: Spool, generator: random.Random) -> None:
    verdicts = Verdicts()
    spool.append_share(make_share(generator), verdicts)
    await verdicts.count(1)
    spool.held._connection.execute("PRAGMA max_page_count = 1")
    spool.append_job(make_job(generator, coinbase1=bytes(200_000)))
    spool.append_share(make_share(generator), verdicts)
    assert await verdicts.count(2) == [True, False]
    assert not spool.is_recording
    assert spool.unrecorded_shares == 1
    spool.held._connection.execute("PRAGMA max_page_count = 100000")
    async with asyncio.timeout(30):
        while not spool.is_recording:
            await asyncio.sleep(0.02)
    assert spool.held.next_batch(Stream.JOBS, spool.held.last_commit) is not None
    spool.append_share(make_share(generator), verdicts)
    assert await verdicts.count(3) == [True, False, True]


async def test_a_callback_that_raises_does_not_cost_the_others(spool: Spool, generator: random.Random) -> None:
    verdicts = Verdicts()

    def broken(durable: bool) -> None:
        raise LookupError

    spool.append_share(make_share(generator), broken)
    spool.append_share(make_share(generator), verdicts)
    assert await verdicts.count(1) == [True]


async def test_a_folder_that_cannot_be_written_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Spool.open(tmp_path / "file" / "spool", max_bytes=ROOM)
