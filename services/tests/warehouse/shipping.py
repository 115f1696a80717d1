"""What the tests of shipping share: a shipper at work, and what the store then holds."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from services.warehouse.client import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.shipper import Shipper

ROOM = 1 << 30
COUNTS = (
    "SELECT (SELECT count() FROM shares), (SELECT uniqExact(segment, seq) FROM shares),"
    " (SELECT sum(accepted + rejected) FROM shares_10m), (SELECT sum(accepted + rejected) FROM shares_1h)"
)


async def counts(client: AsyncClient) -> tuple[int, ...]:
    """Shares, distinct shares, and shares in each roll-up."""
    result = await client.query(COUNTS)
    return tuple(int(value) for value in result.result_rows[0])


async def stored_hashes(address: ClickHouseAddress) -> list[str]:
    connection = Connection(address)
    result = await (await connection.client()).query("SELECT block_hash FROM shares")
    await connection.close()
    return [row[0] for row in result.result_rows]


@asynccontextmanager
async def shipping(shipper: Shipper) -> AsyncIterator[None]:
    task = asyncio.create_task(shipper.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
