"""Rows that ClickHouse will never take: set aside alone, while the rest of their batch, and all others, go on."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from services.tests.waiting import until
from services.tests.warehouse.rows import make_found_block, make_share
from services.tests.warehouse.shipping import ROOM, counts
from services.tests.warehouse.test_shipper import spooled
from services.warehouse.segment_files import segment_paths
from services.warehouse.setaside import FOLDER
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


def truncate(path: Path, table: str, record: int, missing_bytes: int = 3) -> int:
    """Cuts the end off the last row of a group commit, and gives its sequence number."""
    with closing(sqlite3.connect(path)) as connection, connection:
        (last_seq,) = connection.execute(f"SELECT last_seq FROM {table} WHERE id = {record}").fetchone()
        done = connection.execute(
            f"UPDATE {table} SET body = substr(body, 1, length(body) - {missing_bytes}) WHERE id = {record}"
        )
        assert done.rowcount == 1
        return int(last_seq)


async def test_the_one_bad_row_is_set_aside_and_blocks_nobody(
    store: ClickHouseAddress, client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    for commit in range(1, 4):
        for _ in range(10):
            spool.append_share(make_share(generator), lambda durable: None)
        await until(lambda commit=commit: spool.depth_rows == 10 * commit)  # type: ignore[misc]
    spool.append_found_block(make_found_block(generator))
    await spool.close()
    bad = truncate(spool.held.path, "shares", 2)
    await asyncio.sleep(0.01)
    (await spooled(folder, generator, 7)).release()
    shipper = Shipper(folder, None, store)
    assert await shipper.drain(20)
    assert (shipper.set_aside_batches, shipper.set_aside_rows, shipper.shipped_rows) == (1, 1, 37)
    assert await counts(client) == (36, 36, 36, 36)
    assert segment_paths(folder) == []
    facts = json.loads(next((folder / FOLDER).glob("*.json")).read_text())
    assert (facts["rows"], facts["first_seq"], facts["last_seq"]) == (1, bad, bad)
    assert "Code:" in facts["error"]
    assert next((folder / FOLDER).glob("*.rowbinary")).stat().st_size > 150


async def test_of_other_rows_a_group_commit_is_set_aside(
    store: ClickHouseAddress, client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    block = make_found_block(generator)
    spool.append_found_block(block)
    await until(lambda: spool.depth_rows == 1)
    spool.append_found_block(make_found_block(generator))
    await spool.close()
    truncate(spool.held.path, "found_blocks", 2, missing_bytes=20)
    shipper = Shipper(folder, None, store)
    assert await shipper.drain(20)
    assert (shipper.set_aside_batches, shipper.set_aside_rows) == (1, 1)
    result = await client.query("SELECT hash FROM found_blocks")
    assert result.result_rows == [(block.hash,)]
    assert segment_paths(folder) == []
