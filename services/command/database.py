"""`sharehouse db migrate`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.command import options
from services.command.mistake import Mistake
from services.warehouse import migrate as migrations

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.command.configuration import Configuration


def migrate(configuration: Configuration, say: Callable[[str], None]) -> None:
    """Bring the tables up to date and tell what was applied. Raises Mistake where ClickHouse is away or refuses."""
    address = options.address(configuration)
    try:
        applied = asyncio.run(migrations.migrate(address, hot_days=configuration.settings.storage_hot_days))
    except (ClickHouseError, aiohttp.ClientError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Mistake(
            f"ClickHouse at {address.host}:{address.port}: {reason};"
            " see that it runs there, and that CLICKHOUSE_USER and CLICKHOUSE_PASSWORD are right"
        ) from None
    for name in applied:
        say(f"applied {name}")
    if not applied:
        say("nothing to apply: the tables are up to date")
