"""What a reader's query may cost, and what becomes of one that nobody waits for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.warehouse.bounds import MOST_RESULT_ROWS, read_bounds

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient


ENDLESS = "SELECT sum(cityHash64(number)) AS {name} FROM system.numbers"


@pytest.mark.parametrize(
    ("sql", "seconds", "error"),
    [
        # Found amid the answer: the client reads the reason, or only that the answer was cut off.
        (f"SELECT number FROM numbers({MOST_RESULT_ROWS + 1})", 60, "TOO_MANY_ROWS_OR_BYTES|Stream failed during read"),
        ("SELECT groupArray(number) FROM numbers(1000000000)", 60, "MEMORY_LIMIT_EXCEEDED"),
        (ENDLESS.format(name="too_long"), 1, "TIMEOUT_EXCEEDED"),
    ],
)
async def test_a_query_ends_at_each_bound(client: AsyncClient, sql: str, seconds: float, error: str) -> None:
    with pytest.raises(ClickHouseError, match=error):
        await client.query(sql, settings=read_bounds(seconds))


async def test_a_query_ends_with_the_caller_that_goes_away(client: AsyncClient) -> None:
    async def runs() -> bool:
        found = await client.query(
            "SELECT count() FROM system.processes WHERE query LIKE '%left_alone%' AND query NOT LIKE '%processes%'"
        )
        return bool(found.result_rows[0][0])

    async def wait_until(running: bool) -> None:
        async with asyncio.timeout(50):
            while await runs() != running:
                await asyncio.sleep(0.05)

    asked = asyncio.create_task(client.query(ENDLESS.format(name="left_alone"), settings=read_bounds(600)))
    await wait_until(True)
    asked.cancel()
    with suppress(asyncio.CancelledError, ClickHouseError):
        await asked
    await wait_until(False)
