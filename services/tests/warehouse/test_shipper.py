from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from services.tests.waiting import until
from services.tests.warehouse.rows import display_hash, make_found_block, make_job, make_share
from services.tests.warehouse.shipping import ROOM, counts, shipping, stored_hashes
from services.warehouse import delivery
from services.warehouse.address import ClickHouseAddress
from services.warehouse.delivery import PoisonError, deliver
from services.warehouse.rowbinary import Stream
from services.warehouse.segment import Segment
from services.warehouse.segment_files import segment_paths
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.segment import Ahead, Batch

DAY_MS = 86_400_000


async def spooled(folder: Path, generator: random.Random, count: int, **changes: Any) -> Segment:
    """A segment of a process that is gone, with that many shares in it."""
    spool = Spool.open(folder, max_bytes=ROOM)
    for _ in range(count):
        spool.append_share(make_share(generator, **changes), lambda durable: None)
    path = spool.held.path
    await spool.close()
    segment = await asyncio.to_thread(Segment.claim, path)
    assert segment is not None
    return segment


def begun(segment: Segment, stream: Stream = Stream.SHARES) -> tuple[Batch, bytes]:
    batch = segment.next_batch(stream, segment.last_commit)
    assert batch is not None
    return batch, segment.body(batch)


async def test_ships_all_kinds_of_rows_and_forgets_them(
    store: ClickHouseAddress, client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    shipper = Shipper(folder, spool, store)
    shares = [make_share(generator) for _ in range(500)]
    async with shipping(shipper):
        spool.append_job(make_job(generator))
        spool.append_found_block(make_found_block(generator))
        for share in shares:
            spool.append_share(share, lambda durable: None)
        await until(lambda: shipper.shipped_rows == 502)
        await until(lambda: spool.depth_rows == 0)
    await spool.close()
    assert sorted(await stored_hashes(store)) == sorted(display_hash(share.header) for share in shares)
    assert await counts(client) == (500, 500, 500, 500)
    result = await client.query("SELECT (SELECT count() FROM jobs), (SELECT count() FROM found_blocks)")
    assert tuple(result.result_rows[0]) == (1, 1)
    assert shipper.last_error == ""
    assert segment_paths(folder) == []


async def test_creates_the_schema_where_it_is_missing(
    database: ClickHouseAddress, folder: Path, generator: random.Random
) -> None:
    (await spooled(folder, generator, 5)).release()
    assert await Shipper(folder, None, database).drain(10)
    assert len(await stored_hashes(database)) == 5


@pytest.mark.parametrize("close_first", [True, False])
async def test_drain_empties_the_spool_before_or_after_it_is_closed(
    store: ClickHouseAddress, folder: Path, generator: random.Random, close_first: bool
) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    shipper = Shipper(folder, spool, store)
    async with shipping(shipper):
        for _ in range(50):
            spool.append_share(make_share(generator), lambda durable: None)
        if close_first:
            await spool.close()
        else:
            await until(lambda: spool.depth_rows == 50 or shipper.shipped_rows)
        assert await shipper.drain(10)
    await spool.close()
    assert len(await stored_hashes(store)) == 50
    assert segment_paths(folder) == []


async def test_drain_gives_up_at_its_deadline(folder: Path, free_port: int, generator: random.Random) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    spool.append_share(make_share(generator), lambda durable: None)
    await until(lambda: spool.depth_rows == 1)
    assert not await Shipper(folder, spool, ClickHouseAddress(port=free_port)).drain(0.5)
    await spool.close()
    assert len(segment_paths(folder)) == 1


async def test_with_clickhouse_away_already_the_drain_waits_for_nothing(
    folder: Path, free_port: int, generator: random.Random
) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    spool.append_share(make_share(generator), lambda durable: None)
    shipper = Shipper(folder, spool, ClickHouseAddress(port=free_port))
    running = asyncio.create_task(shipper.run())
    await until(lambda: shipper.last_error != "")
    await spool.close()
    running.cancel()
    await asyncio.wait({running})
    assert not await shipper.drain(600)
    assert shipper.left_rows == 1


async def test_a_segment_that_was_being_claimed_when_shipping_stopped_is_left_for_the_drain(
    folder: Path, free_port: int, generator: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    (await spooled(folder, generator, 5)).release()
    claiming = threading.Event()
    claim = Segment.claim

    def slow_claim(path: Path) -> Segment | None:
        claiming.set()
        time.sleep(0.2)
        return claim(path)

    monkeypatch.setattr(Segment, "claim", slow_claim)
    shipper = Shipper(folder, None, ClickHouseAddress(port=free_port))
    async with shipping(shipper):
        await until(claiming.is_set)
    assert not await shipper.drain(0.5)
    monkeypatch.undo()
    left = Segment.claim(segment_paths(folder)[0])
    assert left is not None
    assert left.backlog.rows == 5
    left.release()


async def test_a_repeated_batch_counts_once_everywhere(
    client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    segment = await spooled(folder, generator, 300)
    batch, body = begun(segment)
    for _ in range(3):
        await deliver(client, batch, body)
    await asyncio.gather(*(deliver(client, batch, body) for _ in range(4)))
    assert await counts(client) == (300, 300, 300, 300)
    segment.release()


async def test_a_batch_over_midnight_is_repeated_whole(
    client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    midnight = 1_789_000_000_000 // DAY_MS * DAY_MS
    for offset in (-5, -1, 0, 3, -2, 60_000):
        spool.append_share(make_share(generator, ts_ms=midnight + offset), lambda durable: None)
    await until(lambda: spool.depth_rows == 6)
    batch, body = begun(spool.held)
    await deliver(client, batch, body)
    await deliver(client, replace(batch, repeated=True), body)
    assert await counts(client) == (6, 6, 6, 6)
    await spool.close()


async def test_jobs_come_before_the_shares_that_need_them(
    store: ClickHouseAddress, client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    shipper = Shipper(folder, spool, store)
    without_job = 0
    async with shipping(shipper):
        for _ in range(30):
            job = make_job(generator)
            spool.append_job(job)
            spool.append_share(make_share(generator, job=job.job), lambda durable: None)
            result = await client.query("SELECT countIf(job NOT IN (SELECT job FROM jobs)) FROM shares")
            without_job += result.result_rows[0][0]
            await asyncio.sleep(0.05)
        await shipper.drain(10)
    assert without_job == 0
    assert (await counts(client))[0] == 30
    await spool.close()


async def test_an_unreadable_segment_is_left_and_holds_up_no_other(
    store: ClickHouseAddress, folder: Path, generator: random.Random
) -> None:
    (await spooled(folder, generator, 3)).release()
    broken = folder / "00000000-0000-4000-8000-000000000001.sqlite"
    broken.write_bytes(b"not a database " * 1000)
    assert await Shipper(folder, None, store).drain(10)
    assert segment_paths(folder) == [broken]
    assert len(await stored_hashes(store)) == 3


async def test_the_segment_of_a_living_process_is_left_alone(
    store: ClickHouseAddress, folder: Path, generator: random.Random
) -> None:
    living = Spool.open(folder, max_bytes=ROOM)
    living.append_share(make_share(generator), lambda durable: None)
    await until(lambda: living.depth_rows == 1)
    assert await Shipper(folder, None, store).drain(10)
    assert living.depth_rows == 1
    assert await stored_hashes(store) == []
    await living.close()


async def test_of_a_backlog_each_batch_is_read_ahead_and_jobs_still_come_first(
    store: ClickHouseAddress,
    client: AsyncClient,
    folder: Path,
    generator: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.warehouse.segment.BATCH_ROWS", 20)
    monkeypatch.setattr("services.warehouse.shipper.BACKLOG_ROWS", 1)
    spool = Spool.open(folder, max_bytes=ROOM)
    for commit in range(1, 31):
        if commit % 10 == 0:
            spool.append_job(job := make_job(generator))
        fields = {"job": job.job} if commit >= 10 else {}
        for _ in range(10):
            spool.append_share(make_share(generator, **fields), lambda durable: None)
        await until(lambda commit=commit: spool.depth_rows == 10 * commit + commit // 10)  # type: ignore[misc]
    ahead: list[bool] = []
    read_ahead = Segment.read_ahead

    def watched(segment: Segment, batch: Batch, up_to: int) -> Ahead | None:
        found = read_ahead(segment, batch, up_to)
        ahead.append(found is not None)
        return found

    monkeypatch.setattr(Segment, "read_ahead", watched)
    shipper = Shipper(folder, spool, store)
    assert await shipper.drain(60)
    await spool.close()
    assert shipper.shipped_batches == 16
    assert sum(ahead) == 14
    assert await counts(client) == (300,) * 4
    result = await client.query("SELECT countIf(job IN (SELECT job FROM jobs)) FROM shares")
    assert result.result_rows[0][0] == 210


async def test_a_large_batch_goes_in_pieces_and_can_be_repeated(
    client: AsyncClient, folder: Path, generator: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PIECE_BYTES", 1000)
    segment = await spooled(folder, generator, 100)
    batch, body = begun(segment)
    for repeated in (False, True):
        await deliver(client, replace(batch, repeated=repeated), body)
    assert await counts(client) == (100,) * 4
    cut = replace(batch, token="cut off")
    with pytest.raises(PoisonError):
        await deliver(client, cut, body[:-3])
    assert await counts(client) == (100,) * 4
    segment.release()
