"""From an earlier release to this one: its tables with rows in them, and its spool."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from services.tests.conftest import run_sql
from services.tests.warehouse.first_release import write_segment
from services.tests.warehouse.rows import make_block_candidate, make_found_block, make_job, make_share
from services.tests.warehouse.shipping import ROOM, counts
from services.tests.warehouse.test_migrate import table_definitions
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse.client import Connection
from services.warehouse.migrate import migrate, migrations
from services.warehouse.rowbinary import COLUMNS, RowEncoder, Stream
from services.warehouse.segment import Segment
from services.warehouse.segment_files import segment_paths
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

SHARES = 300
_RECORDS = (
    "CREATE TABLE schema_migrations (version UInt32, name String, applied DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'))"
    " ENGINE = ReplacingMergeTree ORDER BY version"
)


async def populated(client: AsyncClient, generator: random.Random, segment: UUID, version: int) -> None:
    """The schema of an earlier version of this code, with shares, a job and a block in it."""
    await client.command(_RECORDS)
    for migration in migrations()[:version]:
        for statement in migration.statements:
            await client.command(statement)
        await client.command(
            f"INSERT INTO schema_migrations (version, name) VALUES ({migration.version}, '{migration.name}')"
        )
    encoder = RowEncoder(segment)
    rows = [encoder.share(make_share(generator), seq) for seq in range(1, SHARES + 1)]
    await insert(client, Stream.SHARES, b"".join(rows))
    await insert(client, Stream.JOBS, encoder.job(make_job(generator)))
    await insert(client, Stream.FOUND_BLOCKS, encoder.found_block(make_found_block(generator)))


@pytest.mark.timeout(300)
async def test_every_earlier_schema_goes_forward_with_its_rows(
    clickhouse: ClickHouseAddress, database: ClickHouseAddress, generator: random.Random
) -> None:
    expected: dict[str, str] | None = None
    for version in range(1, len(migrations()) + 1):
        address = replace(database, database=f"{database.database}_{version}")
        run_sql(clickhouse, f"CREATE DATABASE {address.database}")
        connection = Connection(address)
        client = await connection.client()
        await populated(client, generator, uuid4(), version)
        assert await migrate(address) == [migration.name for migration in migrations()[version:]]
        assert await counts(client) == (SHARES,) * 4
        kept = await client.query("SELECT (SELECT count() FROM jobs), (SELECT count() FROM found_blocks)")
        assert tuple(kept.result_rows[0]) == (1, 1)
        definitions = await table_definitions(address)
        expected = expected or definitions
        assert definitions == expected
        await connection.close()
        run_sql(clickhouse, f"DROP DATABASE {address.database} SYNC")


async def test_a_spool_of_the_first_release_is_shipped(
    store: ClickHouseAddress, client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    shares = [make_share(generator) for _ in range(SHARES)]
    write_segment(folder, make_job(generator), shares, make_found_block(generator))
    spool = Spool.open(folder, max_bytes=ROOM)
    spool.append_block_candidate(make_block_candidate(generator))
    await spool.close()
    assert await Shipper(folder, spool, store).drain(15)
    assert await counts(client) == (SHARES,) * 4
    result = await client.query(
        "SELECT (SELECT count() FROM jobs), (SELECT count() FROM found_blocks), (SELECT count() FROM block_candidates)"
    )
    assert tuple(result.result_rows[0]) == (1, 1, 1)
    assert segment_paths(folder) == []


def test_what_a_later_release_has_spooled_stays_for_it(folder: Path, generator: random.Random) -> None:
    path = write_segment(folder, make_job(generator), [make_share(generator)], make_found_block(generator))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE heard_of_later (id INTEGER PRIMARY KEY, body BLOB)")
        connection.execute("INSERT INTO streams VALUES ('heard_of_later', 'ts')")
        connection.execute("INSERT INTO heard_of_later VALUES (1, 'x')")
        connection.commit()
    segment = Segment.claim(path)
    assert segment is not None
    for stream in Stream:
        if batch := segment.next_batch(stream, segment.last_commit):
            assert batch.columns == COLUMNS[stream]
            segment.forget(batch)
    assert segment.backlog.rows == 0
    segment.release()
    assert path.exists()
