"""Since when ClickHouse keeps shares: what is older it may have deleted already, so that its absence says nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

_MARGIN_SECONDS: Final = 3_600
TTL: Final = re.compile(r" TTL (.*?)(?: SETTINGS |$)")
_DAYS: Final = re.compile(r"toIntervalDay\((\d+)\)$")


async def kept_from(client: AsyncClient) -> int:
    """Unix seconds from which on shares are kept for certain; 0 where they are kept for ever."""
    engine, now = await _asked(client)
    return kept_at(now, kept_days(engine))


def kept_at(moment: int, days: int | None) -> int:
    """The same as of unix second `moment`, where shares go after so many days."""
    return 0 if days is None else moment - days * 86_400 + _MARGIN_SECONDS


async def keeping_days(client: AsyncClient) -> int | None:
    """After how many days shares are deleted; None is never."""
    return kept_days((await _asked(client))[0])


async def _asked(client: AsyncClient) -> tuple[str, int]:
    result = await client.query(
        "SELECT engine_full, toUnixTimestamp(now()) FROM system.tables"
        " WHERE database = currentDatabase() AND name = 'shares'"
    )
    engine, now = result.result_rows[0]
    return str(engine), int(now)


def kept_days(engine: str) -> int | None:
    """After how many days a table with this engine deletes its rows; None is never."""
    found = TTL.search(engine)
    for action in found[1].split(", ") if found else ():
        if days := _DAYS.search(action):
            return int(days[1])
    return None
