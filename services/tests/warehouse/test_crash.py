"""Kills and hangs: whatever dies, each share that was called durable is stored exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from services.tests.conftest import PASSWORD, ClickHouseProcess
from services.tests.waiting import until
from services.tests.warehouse.rows import display_hash, make_share
from services.tests.warehouse.shipping import ROOM, counts, shipping, stored_hashes
from services.warehouse.client import Connection
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.segment_files import segment_paths
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


async def test_nothing_acknowledged_is_lost_when_its_process_is_killed(
    store: ClickHouseAddress, client: AsyncClient, folder: Path
) -> None:
    acknowledged: set[str] = set()
    for seed in range(4):
        writer = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.tests.warehouse.spool_writer",
            str(folder),
            str(seed),
            str(10 ** (seed % 4)),
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        read = [await writer.stdout.readline() for _ in range(50 + 50 * seed)]
        writer.send_signal(signal.SIGKILL)
        lines = (b"".join(read) + await writer.stdout.read()).split()
        await writer.wait()
        acknowledged |= {line.decode() for line in lines}
    assert len(acknowledged) > 100
    assert await Shipper(folder, None, store).drain(30)
    stored = await stored_hashes(store)
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored)
    assert len(set(await counts(client))) == 1
    result = await client.query("SELECT countIf(job NOT IN (SELECT job FROM jobs)) FROM shares")
    assert result.result_rows[0][0] == 0
    assert segment_paths(folder) == []


@pytest.mark.timeout(300)
async def test_each_share_is_stored_once_however_often_clickhouse_is_killed(
    tmp_path: Path, folder: Path, free_port: int, generator: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.warehouse.shipper._LONGEST_PAUSE_SECONDS", 0.4)

    def server() -> ClickHouseProcess:
        return ClickHouseProcess(EmbeddedOptions(data=tmp_path / "clickhouse", port=free_port, password=PASSWORD))

    running = server()
    await asyncio.to_thread(running.start)
    spool = Spool.open(folder, max_bytes=ROOM)
    shipper = Shipper(folder, spool, running.address)
    durable: set[str] = set()
    going_on = True

    def remember(block_hash: str, ok: bool) -> None:
        if ok:
            durable.add(block_hash)

    def has_shipped_more_than(batches: int) -> bool:
        return shipper.shipped_batches > batches

    async def mine() -> None:
        while going_on:
            for _ in range(100):
                share = make_share(generator, ts_ms=time.time_ns() // 1_000_000)
                block_hash = display_hash(share.header)
                spool.append_share(share, partial(remember, block_hash))
            await asyncio.sleep(0.05)

    async with shipping(shipper):
        mining = asyncio.create_task(mine())
        await until(lambda: shipper.shipped_batches >= 2)
        for _ in range(3):
            await asyncio.sleep(generator.uniform(0.3, 1.5))
            await asyncio.to_thread(running.kill)
            await asyncio.sleep(generator.uniform(0, 0.7))
            running = server()
            await asyncio.to_thread(running.start)
            await until(partial(has_shipped_more_than, shipper.shipped_batches))
        going_on = False
        await mining
        await spool.close()
        assert await shipper.drain(30)
    assert shipper.failures > 0
    stored = await stored_hashes(running.address)
    assert len(stored) == len(set(stored))
    assert set(stored) == durable
    connection = Connection(running.address)
    assert set(await counts(await connection.client())) == {len(durable)}
    await connection.close()
    await asyncio.to_thread(running.kill)


async def test_mining_goes_on_while_clickhouse_hangs(
    tmp_path: Path, folder: Path, free_port: int, generator: random.Random
) -> None:
    running = ClickHouseProcess(EmbeddedOptions(data=tmp_path / "clickhouse", port=free_port, password=PASSWORD))
    await asyncio.to_thread(running.start)
    spool = Spool.open(folder, max_bytes=ROOM)
    shipper = Shipper(folder, spool, running.address)
    async with shipping(shipper):
        spool.append_share(make_share(generator), lambda durable: None)
        await until(lambda: shipper.shipped_rows == 1)
        assert running.process.pid is not None
        os.kill(running.process.pid, signal.SIGSTOP)
        told: list[bool] = []
        for _ in range(100):
            spool.append_share(make_share(generator), told.append)
        await until(lambda: told == [True] * 100)
        await asyncio.sleep(1.5)
        assert spool.depth_rows == 100
        assert spool.oldest_age_seconds > 1
        os.kill(running.process.pid, signal.SIGCONT)
        await until(lambda: spool.depth_rows == 0)
    assert len(await stored_hashes(running.address)) == 101
    await spool.close()
    await asyncio.to_thread(running.kill)
