"""Says once, beside a service that only reads, that ClickHouse lacks tables: it answers 503 until somebody makes them.

API and dashboard make none themselves, for their user may only be allowed to read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.warehouse.migrate import missing_migrations

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from services.warehouse.address import ClickHouseAddress

log = structlog.get_logger()

_ASK_AGAIN_SECONDS = 5.0


async def with_schema_watch(service: Coroutine[Any, Any, None], address: ClickHouseAddress) -> None:
    """Run the service to its end."""
    watching = asyncio.create_task(watch(address))
    try:
        await service
    finally:
        watching.cancel()


async def watch(address: ClickHouseAddress, ask_again_seconds: float = _ASK_AGAIN_SECONDS) -> None:
    """Ends once the tables are up to date."""
    told = False
    while True:
        missing = await _missing(address)
        if missing == []:
            return
        if missing and not told:
            told = True
            log.warning(
                "tables_missing",
                clickhouse=f"{address.host}:{address.port}",
                database=address.database,
                missing=", ".join(missing),
                remedy="run `sharehouse db migrate`; a proxy makes them too, once it has shares to send",
            )
        await asyncio.sleep(ask_again_seconds)


async def _missing(address: ClickHouseAddress) -> list[str] | None:
    """None where ClickHouse does not say; who asks it for rows tells that."""
    try:
        return await missing_migrations(address)
    except (ClickHouseError, aiohttp.ClientError, OSError, TimeoutError):
        return None
