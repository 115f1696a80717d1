from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from services.command.schema_watch import watch, with_schema_watch
from services.tests.free_port import free_ports
from services.warehouse.migrate import apply_migrations, migrations, missing_migrations

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress


async def test_missing_tables_are_said_once_and_noticed_when_made(database: ClickHouseAddress) -> None:
    names = [migration.name for migration in migrations()]
    assert await missing_migrations(database) == names
    with capture_logs() as lines:
        watching = asyncio.create_task(watch(database, 0.5))
        async with asyncio.timeout(50):
            while not lines:
                await asyncio.sleep(0.02)
            await apply_migrations(database)
            await watching
    (line,) = lines
    assert line["event"] == "tables_missing"
    assert line["missing"] == ", ".join(names)
    assert "sharehouse db migrate" in line["remedy"]


async def test_nothing_is_said_of_a_clickhouse_that_is_away(database: ClickHouseAddress) -> None:
    (port,) = free_ports(1)
    with capture_logs() as lines:
        watching = asyncio.create_task(watch(replace(database, port=port), 0.01))
        await asyncio.sleep(0.3)
        assert not watching.done()
        watching.cancel()
    assert lines == []


async def test_it_ends_with_its_service(database: ClickHouseAddress) -> None:
    async def service() -> None:
        await asyncio.sleep(0.1)

    before = len(asyncio.all_tasks())
    with capture_logs():
        await with_schema_watch(service(), database)
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.01)
