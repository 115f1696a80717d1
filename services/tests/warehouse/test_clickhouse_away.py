"""ClickHouse away for hours, out of disk, or refusing writes: the spool holds what comes, and it is all made good."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from services.tests.conftest import PASSWORD, ClickHouseProcess
from services.tests.waiting import until
from services.tests.warehouse.rows import display_hash, make_share
from services.tests.warehouse.shipping import ROOM, counts, shipping, stored_hashes
from services.tests.warehouse.test_exactly_once import assert_roll_ups_equal_raw
from services.tests.warehouse.test_shipper import begun
from services.warehouse.client import Connection
from services.warehouse.delivery import deliver
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

pytestmark = pytest.mark.timeout(180)

HOUR_MS = 3_600_000
AWAY_HOURS = 6
SPARE_BYTES = 1 << 30
SHARES_ON = """
<clickhouse><storage_configuration>
    <disks><small>
        <type>local</type><path>{}/</path><keep_free_space_bytes>{}</keep_free_space_bytes>
    </small></disks>
    <policies><tiered><volumes><hot><disk>small</disk></hot></volumes></tiered></policies>
</storage_configuration></clickhouse>
"""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.warehouse.shipper._LONGEST_PAUSE_SECONDS", 0.4)


def append(spool: Spool, generator: random.Random, told: list[bool], times_ms: list[int]) -> list[str]:
    """Hashes of shares that were spooled."""
    shares = [make_share(generator, ts_ms=ts_ms) for ts_ms in times_ms]
    for share in shares:
        spool.append_share(share, told.append)
    return [display_hash(share.header) for share in shares]


def age(path: Path, milliseconds: int) -> None:
    """Makes all that the segment holds so much older: committed, and sent for the first time."""
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute("UPDATE shares SET committed_ms = committed_ms - ?", (milliseconds,))
        done = connection.execute("UPDATE batches SET first_sent_ms = first_sent_ms - ?", (milliseconds,))
        assert done.rowcount == 1


async def test_hours_without_clickhouse_are_made_good(
    tmp_path: Path, folder: Path, free_port: int, generator: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died after it had taken a batch and before it said so; six hours of shares later it is back."""
    monkeypatch.setattr("services.warehouse.shipper.EXAMINE_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("services.warehouse.segment.BATCH_ROWS", 500)
    monkeypatch.setattr("services.warehouse.shipper.BACKLOG_ROWS", 1)

    def server() -> ClickHouseProcess:
        return ClickHouseProcess(EmbeddedOptions(data=tmp_path / "clickhouse", port=free_port, password=PASSWORD))

    running = server()
    await asyncio.to_thread(running.start)
    await migrate(running.address)
    now_ms = time.time_ns() // 1_000_000
    spool = Spool.open(folder, max_bytes=ROOM)
    told: list[bool] = []
    hashes = append(spool, generator, told, [now_ms - AWAY_HOURS * HOUR_MS] * 100)
    await until(lambda: len(told) == len(hashes))
    connection = Connection(running.address)
    await deliver(await connection.client(), *begun(spool.held))
    await connection.close()
    await asyncio.to_thread(running.kill)

    shipper = Shipper(folder, spool, running.address)
    async with shipping(shipper):
        for hour in range(AWAY_HOURS):
            began_ms = now_ms - (AWAY_HOURS - hour) * HOUR_MS
            hashes += append(spool, generator, told, [began_ms + number * HOUR_MS // 400 for number in range(400)])
        await until(lambda: len(told) == len(hashes))
        age(spool.held.path, AWAY_HOURS * HOUR_MS)
        await until(lambda: shipper.failures > 1)
        assert told == [True] * len(hashes)
        assert spool.depth_rows == len(hashes)
        running = server()
        await asyncio.to_thread(running.start)
        await until(lambda: not spool.depth_rows, 60)
        await until(lambda: not shipper.last_error)
    await spool.close()
    assert sorted(await stored_hashes(running.address)) == sorted(hashes)
    connection = Connection(running.address)
    client = await connection.client()
    assert await counts(client) == (len(hashes),) * 4
    await assert_roll_ups_equal_raw(client)
    await connection.close()
    await asyncio.to_thread(running.kill)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """Where ClickHouse keeps shares, and how it is told that there is no room."""

    folder: Path
    keep_free_bytes: int
    """What ClickHouse must leave free; 0 on a file system of its own, which `ballast` fills to its last byte."""

    @property
    def ballast(self) -> Path:
        return self.folder / "ballast"

    @property
    def storage(self) -> str:
        return SHARES_ON.format(self.folder, self.keep_free_bytes)

    def fill(self) -> None:
        if not self.keep_free_bytes:
            fill(self.ballast)
            return
        with self.ballast.open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, 2 * SPARE_BYTES)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A real file system of 64 MiB for the shares; who may not mount one gets a bound on a part of this one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if shutil.which("mount") and subprocess.run(mount, capture_output=True).returncode == 0:
        try:
            yield SmallDisk(folder, 0)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    else:
        yield SmallDisk(folder, shutil.disk_usage(folder).free - SPARE_BYTES)


def fill(path: Path) -> None:
    """Takes the last byte of the file system."""
    with path.open("wb", buffering=0) as ballast:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while ballast.write(bytes(size)) == size:
                    pass
        with pytest.raises(OSError, match="No space left") as full:
            ballast.write(bytes(1 << 12))
        assert full.value.errno == errno.ENOSPC


async def test_out_of_disk_clickhouse_loses_and_doubles_nothing(
    tmp_path: Path, folder: Path, free_port: int, generator: random.Random, small_disk: SmallDisk
) -> None:
    storage = tmp_path / "storage.xml"
    storage.write_text(small_disk.storage)
    running = ClickHouseProcess(
        EmbeddedOptions(data=tmp_path / "clickhouse", port=free_port, password=PASSWORD, storage=storage)
    )
    await asyncio.to_thread(running.start)
    spool = Spool.open(folder, max_bytes=ROOM)
    shipper = Shipper(folder, spool, running.address)
    told: list[bool] = []
    async with shipping(shipper):
        hashes = append(spool, generator, told, [time.time_ns() // 1_000_000] * 200)
        await until(lambda: len(told) == 200 and not spool.depth_rows)
        small_disk.fill()
        hashes += append(spool, generator, told, [time.time_ns() // 1_000_000] * 200)
        await until(lambda: shipper.failures > 1)
        assert spool.depth_rows == 200
        assert "NOT_ENOUGH_SPACE" in shipper.last_error
        small_disk.ballast.unlink()
        await until(lambda: not spool.depth_rows)
    await spool.close()
    assert told == [True] * 400
    assert shipper.set_aside_rows == 0
    assert sorted(await stored_hashes(running.address)) == sorted(hashes)
    connection = Connection(running.address)
    client = await connection.client()
    assert await counts(client) == (400,) * 4
    await assert_roll_ups_equal_raw(client)
    await connection.close()
    await asyncio.to_thread(running.kill)


@pytest.mark.parametrize("table", ["shares", "shares_1h"])
async def test_what_clickhouse_may_not_write_waits_in_the_spool(
    store: ClickHouseAddress, client: AsyncClient, folder: Path, generator: random.Random, table: str
) -> None:
    """The raw table, or a roll-up behind it: read-only for a while."""
    await client.command(f"ALTER TABLE {table} MODIFY SETTING table_readonly = 1")
    spool = Spool.open(folder, max_bytes=ROOM)
    shipper = Shipper(folder, spool, store)
    told: list[bool] = []
    async with shipping(shipper):
        hashes = append(spool, generator, told, [time.time_ns() // 1_000_000] * 200)
        await until(lambda: shipper.failures > 1)
        assert "Table is in readonly mode" in shipper.last_error
        assert told == [True] * 200
        assert spool.depth_rows == 200
        await client.command(f"ALTER TABLE {table} RESET SETTING table_readonly")
        await until(lambda: not spool.depth_rows)
    await spool.close()
    assert shipper.set_aside_rows == 0
    assert sorted(await stored_hashes(store)) == sorted(hashes)
    assert await counts(client) == (200,) * 4
    await assert_roll_ups_equal_raw(client)
