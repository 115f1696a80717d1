from __future__ import annotations

import asyncio
import multiprocessing
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from services.tests.conftest import run_sql
from services.warehouse.client import Connection
from services.warehouse.migrate import apply_migrations, migrate, migrations

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


def run_migrate(address: ClickHouseAddress, barrier: Barrier) -> None:
    barrier.wait(120)
    asyncio.run(migrate(address))


async def table_definitions(address: ClickHouseAddress) -> dict[str, str]:
    connection = Connection(address, database="system")
    client = await connection.client()
    result = await client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = {database:String}",
        parameters={"database": address.database},
    )
    await connection.close()
    return {name: query.replace(address.database, "d") for name, query in result.result_rows}


async def test_creates_the_database_and_says_what_it_applied(clickhouse: ClickHouseAddress) -> None:
    address = replace(clickhouse, database=f"new_{uuid4().hex}")
    assert await migrate(address) == [migration.name for migration in migrations()]
    assert await migrate(address) == []
    assert {"shares", "jobs", "found_blocks", "shares_10m", "shares_1h", "schema_migrations"} <= set(
        await table_definitions(address)
    )
    run_sql(clickhouse, f"DROP DATABASE {address.database} SYNC")


async def test_several_processes_migrate_at_once(clickhouse: ClickHouseAddress, store: ClickHouseAddress) -> None:
    address = replace(clickhouse, database=f"new_{uuid4().hex}")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=run_migrate, args=(address, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 150)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert await table_definitions(address) == await table_definitions(store)
    assert await apply_migrations(address) == []
    run_sql(clickhouse, f"DROP DATABASE {address.database} SYNC")


async def test_every_migration_may_be_run_again(client: AsyncClient, store: ClickHouseAddress) -> None:
    before = await table_definitions(store)
    for migration in migrations():
        for statement in migration.statements:
            await client.command(statement)
    assert await table_definitions(store) == before


async def test_goes_on_after_a_kill_in_the_middle(clickhouse: ClickHouseAddress, store: ClickHouseAddress) -> None:
    address = replace(clickhouse, database=f"new_{uuid4().hex}")
    run_sql(clickhouse, f"CREATE DATABASE {address.database}")
    connection = Connection(address)
    client = await connection.client()
    for statement in migrations()[0].statements[:3]:
        await client.command(statement)
    await connection.close()
    assert await migrate(address) == [migration.name for migration in migrations()]
    assert await table_definitions(address) == await table_definitions(store)
    run_sql(clickhouse, f"DROP DATABASE {address.database} SYNC")


def test_versions_are_numbered_without_gaps() -> None:
    assert [migration.version for migration in migrations()] == list(range(1, len(migrations()) + 1))
