from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from services.tests.conftest import PASSWORD, ClickHouseProcess
from services.tests.warehouse.rows import make_found_block, make_job, make_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse.client import Connection
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate
from services.warehouse.retention import Retention, RetentionError
from services.warehouse.rowbinary import RowEncoder, Stream

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

TWO_VOLUMES = """
<clickhouse><storage_configuration>
    <disks><cold><type>local</type><path>{}/</path></cold></disks>
    <policies><tiered><volumes>
        <hot><disk>default</disk></hot>
        <cold><disk>cold</disk><perform_ttl_move_on_insert>false</perform_ttl_move_on_insert></cold>
    </volumes></tiered></policies>
</storage_configuration></clickhouse>
"""


@pytest.fixture
def two_volumes(tmp_path: Path, free_port: int) -> ClickHouseProcess:
    """A server whose policy `tiered` has a volume `cold`: a second local folder."""
    (tmp_path / "cold").mkdir()
    storage = tmp_path / "storage.xml"
    storage.write_text(TWO_VOLUMES.format(tmp_path / "cold"))
    return ClickHouseProcess(
        EmbeddedOptions(data=tmp_path / "data", port=free_port, password=PASSWORD, storage=storage)
    )


@pytest.fixture
async def tiered(two_volumes: ClickHouseProcess) -> AsyncIterator[AsyncClient]:
    await asyncio.to_thread(two_volumes.start)
    await migrate(two_volumes.address)
    connection = Connection(two_volumes.address)
    yield await connection.client()
    await connection.close()
    two_volumes.kill()


async def definition(client: AsyncClient) -> str:
    result = await client.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'shares'"
    )
    return str(result.result_rows[0][0])


async def test_shares_older_than_the_limit_move_and_stay_readable(
    tiered: AsyncClient, two_volumes: ClickHouseProcess, generator: random.Random
) -> None:
    now_ms = time.time_ns() // 1_000_000
    old = [make_share(generator, ts_ms=now_ms - 5 * 86_400_000) for _ in range(10)]
    new = [make_share(generator, ts_ms=now_ms) for _ in range(10)]
    encoder = RowEncoder(uuid4())
    await insert(tiered, Stream.SHARES, b"".join(encoder.share(share, seq) for seq, share in enumerate(old + new)))
    for _ in range(200):
        result = await tiered.query(
            "SELECT disk_name, sum(rows) FROM system.parts WHERE table = 'shares' AND active GROUP BY disk_name"
        )
        if {tuple(row) for row in result.result_rows} == {("default", 10), ("cold", 10)}:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail(f"not moved: {result.result_rows}")
    stored = await tiered.query("SELECT header FROM shares ORDER BY seq")
    assert [row[0] for row in stored.result_rows] == [share.header for share in old + new]


async def test_the_limit_follows_the_setting(tiered: AsyncClient, two_volumes: ClickHouseProcess) -> None:
    assert "toIntervalDay(2) TO VOLUME 'cold'" in await definition(tiered)
    await migrate(two_volumes.address, Retention(hot_days=7))
    assert "toIntervalDay(7) TO VOLUME 'cold'" in await definition(tiered)
    changed = await tiered.query("SELECT metadata_modification_time FROM system.tables WHERE name = 'shares'")
    await asyncio.sleep(1)
    await migrate(two_volumes.address, Retention(hot_days=7))
    unchanged = await tiered.query("SELECT metadata_modification_time FROM system.tables WHERE name = 'shares'")
    assert changed.result_rows == unchanged.result_rows


async def test_shares_are_deleted_after_the_days_that_they_are_kept(
    store: ClickHouseAddress, client: AsyncClient, generator: random.Random
) -> None:
    """Raw shares and their jobs; the roll-ups stay, and so does all of it while nobody has said how long."""
    now_ms = time.time_ns() // 1_000_000
    shares = [make_share(generator, ts_ms=now_ms - days * 86_400_000) for days in (40, 40, 29, 0)]
    jobs = [make_job(generator, sent_ms=now_ms - days * 86_400_000) for days in (40, 33, 0)]
    encoder = RowEncoder(uuid4())
    await insert(client, Stream.SHARES, b"".join(encoder.share(share, seq) for seq, share in enumerate(shares)))
    await insert(client, Stream.JOBS, b"".join(map(encoder.job, jobs)))
    await migrate(store, Retention(keep_days=30))
    assert "TTL toDateTime(ts) + toIntervalDay(30) SETTINGS" in await definition(client)
    await client.command("OPTIMIZE TABLE jobs FINAL")
    left = (
        "SELECT (SELECT count() FROM shares), (SELECT count() FROM jobs),"
        " (SELECT sum(accepted + rejected) FROM shares_1h)"
    )
    for _ in range(300):
        await client.command("OPTIMIZE TABLE shares FINAL")
        found = tuple((await client.query(left)).result_rows[0])
        if found == (2, 2, 4):
            break
        await asyncio.sleep(0.1)
    assert found == (2, 2, 4)
    await migrate(store, Retention(keep_days=60))
    assert "toIntervalDay(60)" in await definition(client)
    await migrate(store)
    assert "TTL" not in await definition(client)


async def test_moves_and_deletes_stand_side_by_side(tiered: AsyncClient, two_volumes: ClickHouseProcess) -> None:
    await migrate(two_volumes.address, Retention(hot_days=3, keep_days=90))
    wanted = "TTL toDateTime(ts) + toIntervalDay(3) TO VOLUME 'cold', toDateTime(ts) + toIntervalDay(90) SETTINGS"
    assert wanted in await definition(tiered)
    await migrate(two_volumes.address, Retention(hot_days=3))
    assert "TTL toDateTime(ts) + toIntervalDay(3) TO VOLUME 'cold' SETTINGS" in await definition(tiered)


async def test_without_a_cold_volume_shares_stay(client: AsyncClient) -> None:
    assert "TTL" not in await definition(client)


async def test_each_table_keeps_its_rows_for_the_days_that_are_set(
    store: ClickHouseAddress, client: AsyncClient, generator: random.Random
) -> None:
    """Of a populated store: roll-ups go by the month once all of it is old, states by the row; blocks never."""
    now_ms = time.time_ns() // 1_000_000
    encoder = RowEncoder(uuid4())
    shares = [make_share(generator, ts_ms=now_ms - days * 86_400_000) for days in (100, 0)]
    await insert(client, Stream.SHARES, b"".join(encoder.share(share, seq) for seq, share in enumerate(shares)))
    await insert(client, Stream.FOUND_BLOCKS, encoder.found_block(make_found_block(generator, ts_ms=1)))
    for days in (100, 20, 0):
        at = now_ms - days * 86_400_000
        await client.command(
            f"INSERT INTO heartbeats (ts, proxy, instance) SELECT fromUnixTimestamp64Milli({at}), 'p', '{uuid4()}'"
        )
        await client.command(f"INSERT INTO audits (started) SELECT fromUnixTimestamp64Milli({at})")
    await migrate(store, Retention(keep_days=5, rollup_keep_days=50, state_keep_days=10))
    expected = {"shares_10m": 1, "shares_1h": 1, "shares_1d": 1, "audits": 2, "heartbeats": 1, "found_blocks": 1}
    found: dict[str, int] = {}
    for _ in range(300):
        for table in expected:
            await client.command(f"OPTIMIZE TABLE {table} FINAL")
            found[table] = (await client.query(f"SELECT count() FROM {table}")).result_rows[0][0]
        if found == expected:
            break
        await asyncio.sleep(0.1)
    assert found == expected
    await migrate(store)
    ttl = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine_full LIKE '% TTL %' ORDER BY 1"
    tables = [row[0] for row in (await client.query(ttl)).result_rows]
    assert tables == ["config_answers", "config_revisions", "heartbeats", "pool_states", "sessions"]


@pytest.mark.parametrize("keep_days", [None, 51])
def test_roll_ups_do_not_go_before_the_shares_that_they_count(keep_days: int | None) -> None:
    with pytest.raises(RetentionError, match="STORAGE_ROLLUP_KEEP_DAYS is 50"):
        Retention(keep_days=keep_days, rollup_keep_days=50)


def test_every_table_has_its_place_in_the_guide() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "OPERATIONS.md").read_text()
    section = guide.partition("### What is kept for how long")[2].partition("\n#")[0]
    assert set(Retention().ttls()) | {"found_blocks", "block_candidates"} == set(
        re.findall(r"`(\w+_?\w*)`", section)
    ) - {"up"}
