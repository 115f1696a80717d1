"""Repeats of a batch that nobody asked for, of shares that are deleted already, and of what several crashes left."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.tests.warehouse.shipping import counts
from services.tests.warehouse.test_exactly_once import ROLL_UPS, assert_roll_ups_equal_raw
from services.tests.warehouse.test_shipper import begun, spooled
from services.warehouse import keeping, rollup_repair
from services.warehouse.client import Connection
from services.warehouse.delivery import deliver
from services.warehouse.keeping import kept_days
from services.warehouse.migrate import migrate
from services.warehouse.retention import Retention

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

MOVES = "toDateTime(ts) + toIntervalDay(2) TO VOLUME 'cold'"


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup_repair, "PAUSE_SECONDS", 0.05)


@asynccontextmanager
async def insert_that_breaks_off(behind: ClickHouseAddress) -> AsyncIterator[tuple[ClickHouseAddress, list[bytes]]]:
    """An address that passes on all but INSERTs: of those it takes the beginning, and breaks off."""
    begun_inserts: list[bytes] = []
    writers: set[asyncio.StreamWriter] = set()

    async def back(there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(1 << 16):
            writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, server = await asyncio.open_connection(behind.host, behind.port)
        writers.update((writer, server))
        answers = asyncio.create_task(back(there, writer))
        while data := await reader.read(1 << 16):
            if b"INSERT" in data:
                begun_inserts.append(data)
                break
            server.write(data)
        answers.cancel()
        server.close()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield replace(behind, host="127.0.0.1", port=listener.sockets[0].getsockname()[1]), begun_inserts
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        await listener.wait_closed()


async def test_an_insert_that_broke_off_is_not_sent_again_unasked(
    store: ClickHouseAddress, folder: Path, generator: random.Random
) -> None:
    """Its repeat would be answered "taken", whether ClickHouse has the rows or not, and nobody would look for them."""
    segment = await spooled(folder, generator, 20)
    batch, body = begun(segment)
    async with insert_that_breaks_off(store) as (address, inserts):
        connection = Connection(address)
        with pytest.raises(ClickHouseError):
            await deliver(await connection.client(), batch, body)
        await connection.close()
    assert len(inserts) == 1
    segment.release()


async def test_repeated_shares_that_are_too_old_to_be_kept_do_not_hold_the_others_up(
    store: ClickHouseAddress, client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    """Those that ClickHouse deleted since they were taken are no more counted twice than missed."""
    await migrate(store, Retention(keep_days=30))
    old_ms = time.time_ns() // 1_000_000 - 40 * 86_400_000
    segment = await spooled(folder, generator, 50, ts_ms=old_ms)
    batch, body = begun(segment)
    await deliver(client, batch, body)
    for _ in range(600):
        await client.command("OPTIMIZE TABLE shares FINAL")
        if (await counts(client))[0] == 0:
            break
        await asyncio.sleep(0.1)
    assert (await counts(client))[0] == 0
    for _ in range(2):
        await deliver(client, replace(batch, repeated=True), body)
        assert (await counts(client))[2:] == (50, 50)
    segment.release()


async def test_a_roll_up_that_lost_its_raw_shares_to_their_age_keeps_its_sums(
    store: ClickHouseAddress,
    client: AsyncClient,
    folder: Path,
    generator: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await migrate(store, Retention(keep_days=30))
    segment = await spooled(folder, generator, 50, ts_ms=time.time_ns() // 1_000_000)
    batch, body = begun(segment)
    await deliver(client, batch, body)
    # As if the oldest shares of the bucket were 30 days old, and the rest not yet.
    await client.command(f"ALTER TABLE shares DELETE WHERE seq < {batch.first_seq + 10} SETTINGS mutations_sync = 2")
    rest = replace(batch, first_seq=batch.first_seq + 10, rows=40, repeated=True)
    monkeypatch.setattr(keeping, "_MARGIN_SECONDS", 30 * 86_400)
    assert await rollup_repair.mend_roll_ups(client, rest) == 0
    assert (await counts(client))[2:] == (50, 50)
    segment.release()


@pytest.mark.parametrize("table", ROLL_UPS)
async def test_a_batch_that_several_crashes_added_to_a_roll_up_is_taken_from_it_again(
    client: AsyncClient, folder: Path, generator: random.Random, table: str
) -> None:
    """Each token that is used up without the raw table's rows adds them to the roll-ups once more."""
    segment = await spooled(folder, generator, 60)
    batch, body = begun(segment)
    await deliver(client, batch, body)
    await client.command(f"INSERT INTO {table} SELECT r.* FROM {table} AS r, numbers(3) AS n")
    await deliver(client, replace(batch, repeated=True), body)
    await assert_roll_ups_equal_raw(client)
    segment.release()


@pytest.mark.parametrize(
    ("engine", "days"),
    [
        ("MergeTree ORDER BY ts", None),
        (f"MergeTree ORDER BY ts TTL {MOVES} SETTINGS a = 1", None),
        ("MergeTree ORDER BY ts TTL toDateTime(ts) + toIntervalDay(30)", 30),
        (f"MergeTree TTL {MOVES}, toDateTime(ts) + toIntervalDay(400) SETTINGS a = 1", 400),
    ],
)
def test_after_how_many_days_shares_go(engine: str, days: int | None) -> None:
    assert kept_days(engine) == days
