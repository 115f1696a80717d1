"""What ClickHouse may have of a batch when it dies in the middle of its INSERT, and what a repeat must make of it.

ClickHouse notes a token before it stores the rows. The tests bring about what is then found at the next start: they
kill the server, and take away parts, whose tokens stay, or the tokens, whose parts stay.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.tests.conftest import PASSWORD, ClickHouseProcess
from services.tests.warehouse.rows import make_block_candidate, make_job
from services.tests.warehouse.shipping import ROOM, counts
from services.tests.warehouse.test_exactly_once import ROLL_UPS, TABLES, assert_roll_ups_equal_raw
from services.tests.warehouse.test_shipper import begun, spooled
from services.warehouse import rollup_repair
from services.warehouse.client import Connection
from services.warehouse.delivery import deliver
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate, migrations
from services.warehouse.rowbinary import Stream
from services.warehouse.running_inserts import UnsettledError, none_running
from services.warehouse.segment import Segment
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.segment import Batch

SHARES = 200
OTHERS = 30


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup_repair, "PAUSE_SECONDS", 0.05)


class Mortal:
    """A ClickHouse of the test's own, that can be killed and started again."""

    def __init__(self, data: Path, port: int) -> None:
        self._options = EmbeddedOptions(data=data, port=port, password=PASSWORD)
        self._process = ClickHouseProcess(self._options)
        self.address = self._process.address

    async def start(self) -> None:
        self._process = ClickHouseProcess(self._options)
        await asyncio.to_thread(self._process.start)

    async def kill(self) -> None:
        await asyncio.to_thread(self._process.kill)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncClient]:
        connection = Connection(self.address)
        try:
            yield await connection.client()
        finally:
            await connection.close()


@pytest.fixture
async def mortal(tmp_path: Path, free_port: int) -> AsyncIterator[Mortal]:
    server = Mortal(tmp_path / "clickhouse", free_port)
    await server.start()
    await migrate(server.address)
    yield server
    await server.kill()


async def put_back_views(client: AsyncClient) -> None:
    for migration in migrations():
        for statement in migration.statements:
            await client.command(statement)


async def part_folders(client: AsyncClient, tables: Sequence[str]) -> list[Path]:
    result = await client.query(
        "SELECT path FROM system.parts WHERE active AND database = currentDatabase()"
        " AND table IN {tables:Array(String)}",
        parameters={"tables": list(tables)},
    )
    return [Path(path) for (path,) in result.result_rows]


def repeated(batch: Batch) -> Batch:
    return replace(batch, repeated=True)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "burnt",
    [("shares",), ("shares_10m",), ("shares_1h", "shares_1d"), TABLES],
    ids=lambda tables: "+".join(tables),
)
async def test_a_token_without_its_rows_loses_nothing(
    mortal: Mortal, folder: Path, generator: random.Random, burnt: tuple[str, ...]
) -> None:
    segment = await spooled(folder, generator, SHARES)
    batch, body = begun(segment)
    async with mortal.client() as client:
        if burnt == ("shares",):
            # Killed there, ClickHouse has not come to the roll-ups.
            for table in ROLL_UPS:
                await client.command(f"DROP VIEW {table.replace('_', '_to_', 1)}")
        await deliver(client, batch, body)
        taken_away = await part_folders(client, burnt)
        assert len(taken_away) >= len(burnt)
    await mortal.kill()
    for part in taken_away:
        shutil.rmtree(part)
    await mortal.start()
    async with mortal.client() as client:
        await put_back_views(client)
        others = await spooled(folder, generator, OTHERS)
        await deliver(client, *begun(others))
        others.release()
        if burnt == TABLES:
            # The reason for all this: ClickHouse takes the batch, and has nothing of it.
            await deliver(client, batch, body)
            assert (await counts(client))[0] == OTHERS
        for _ in range(2):
            await deliver(client, repeated(batch), body)
            assert await counts(client) == (SHARES + OTHERS,) * 4
            await assert_roll_ups_equal_raw(client)
    segment.release()


@pytest.mark.timeout(180)
async def test_rows_without_their_token_are_not_doubled(
    mortal: Mortal, folder: Path, generator: random.Random, tmp_path: Path
) -> None:
    segment = await spooled(folder, generator, SHARES)
    batch, body = begun(segment)
    async with mortal.client() as client:
        await deliver(client, batch, body)
    await mortal.kill()
    logs = list((tmp_path / "clickhouse").glob("**/deduplication_logs/*"))
    assert len(logs) >= len(TABLES)
    for log in logs:
        log.write_bytes(b"")
    await mortal.start()
    async with mortal.client() as client:
        await deliver(client, repeated(batch), body)
        assert await counts(client) == (SHARES,) * 4
        await assert_roll_ups_equal_raw(client)
        # The reason for all this.
        await deliver(client, batch, body)
        assert await counts(client) == (2 * SHARES, SHARES, 2 * SHARES, 2 * SHARES)
    segment.release()


async def test_what_is_not_a_share_needs_no_token_to_be_repeated(
    client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    spool.append_job(make_job(generator))
    spool.append_block_candidate(make_block_candidate(generator))
    path = spool.held.path
    await spool.close()
    segment = await asyncio.to_thread(Segment.claim, path)
    assert segment is not None
    for stream, table in ((Stream.JOBS, "jobs"), (Stream.BLOCK_CANDIDATES, "block_candidates")):
        batch, body = begun(segment, stream)
        await deliver(client, batch, body)
        await client.command(f"ALTER TABLE {table} DELETE WHERE 1 SETTINGS mutations_sync = 2")
        for again in (batch, repeated(batch), repeated(batch)):
            await deliver(client, again, body)
        result = await client.query(f"SELECT count() FROM {table} FINAL")
        assert result.result_rows[0][0] == 1
    segment.release()


@pytest.mark.parametrize("table", ROLL_UPS)
async def test_whose_shares_a_roll_up_lacks_is_told_by_segment_not_by_their_number(
    client: AsyncClient, folder: Path, generator: random.Random, table: str
) -> None:
    moment = 1_789_000_000_000
    segments, batches = [], []
    for _ in range(2):
        # One worker's, equally many, in one bucket.
        segments.append(await spooled(folder, generator, 50, ts_ms=moment, worker="rig", pool_label="normal"))
        batches.append(begun(segments[-1]))
        await deliver(client, *batches[-1])
    await client.command(f"ALTER TABLE {table} DELETE WHERE segment = '{segments[0].id}' SETTINGS mutations_sync = 2")
    await deliver(client, repeated(batches[1][0]), batches[1][1])
    rolled_up = await client.query(f"SELECT segment, sum(accepted + rejected) FROM {table} GROUP BY 1")
    assert rolled_up.result_rows == [(segments[1].id, 50)]
    await asyncio.gather(*(deliver(client, repeated(batch), body) for batch, body in batches))
    await assert_roll_ups_equal_raw(client)
    for segment in segments:
        segment.release()


async def test_many_that_mend_side_by_side_leave_the_roll_ups_equal_to_the_shares(
    client: AsyncClient, folder: Path
) -> None:
    generator = random.Random(5)
    segments = [await spooled(folder, generator, generator.randrange(1, 80)) for _ in range(12)]
    batches = [begun(segment) for segment in segments]
    for batch, body in batches:
        await deliver(client, batch, body)
    for table in ROLL_UPS:
        lost = generator.sample([str(segment.id) for segment in segments], 6)
        await client.command(
            f"ALTER TABLE {table} DELETE WHERE has({lost}, toString(segment)) SETTINGS mutations_sync = 2"
        )
    newcomers = [await spooled(folder, generator, 40) for _ in range(6)]
    await asyncio.gather(
        *(deliver(client, repeated(batch), body) for batch, body in batches),
        *(deliver(client, *begun(segment)) for segment in newcomers),
    )
    await assert_roll_ups_equal_raw(client)
    for segment in (*segments, *newcomers):
        segment.release()


@pytest.mark.parametrize("lacking", [False, True])
async def test_a_batch_from_before_roll_ups_named_segments_is_neither_doubled_nor_left_out(
    database: ClickHouseAddress, folder: Path, generator: random.Random, lacking: bool
) -> None:
    moment = 1_789_000_000_000
    connection = Connection(database)
    client = await connection.client()
    for migration in migrations()[:8]:
        for statement in migration.statements:
            await client.command(statement)
    segments, batches = [], []
    for number in range(2):
        segments.append(await spooled(folder, generator, 50, ts_ms=moment, worker="rig", pool_label="normal"))
        batches.append(begun(segments[-1]))
        if number and lacking:
            await client.command("DROP VIEW shares_to_1h")
        await deliver(client, *batches[-1])
    await migrate(database)
    segments.append(await spooled(folder, generator, 50, ts_ms=moment, worker="rig", pool_label="normal"))
    await deliver(client, *begun(segments[-1]))
    for _ in range(2):
        await deliver(client, repeated(batches[1][0]), batches[1][1])
        await assert_roll_ups_equal_raw(client)
    for segment in segments:
        segment.release()
    await connection.close()


async def test_it_is_told_that_an_insert_of_the_segment_still_runs(
    client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    segment = await spooled(folder, generator, 10)
    batch, body = begun(segment)
    slow = asyncio.create_task(
        client.command(
            "INSERT INTO jobs (job) SELECT toFixedString(toString(number), 16) FROM numbers(600)"
            " WHERE sleepEachRow(0.1) = 0",
            settings={"insert_deduplication_token": batch.token, "max_block_size": 1},
        )
    )
    with pytest.raises(UnsettledError):
        while not slow.done():
            await none_running(client, segment.id)
            await asyncio.sleep(0.05)
    # A minute would be left; who hangs up ends it.
    slow.cancel()
    await asyncio.wait((slow,))
    while True:
        try:
            await none_running(client, segment.id)
            break
        except UnsettledError:
            await asyncio.sleep(0.05)
    await deliver(client, repeated(batch), body)
    assert await counts(client) == (10,) * 4
    segment.release()
