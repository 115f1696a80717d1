"""Where the shares lie: by day and volume, how small, what has yet to move. Read from ClickHouse's system tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.warehouse.client import Connection

if TYPE_CHECKING:
    from datetime import datetime

    from services.warehouse.address import ClickHouseAddress

_PARTS: Final = """
SELECT parts.partition, volumes.volume_name, count(), sum(parts.rows), sum(parts.bytes_on_disk),
    sum(parts.data_uncompressed_bytes)
FROM system.parts AS parts
INNER JOIN (
    SELECT volume_name, arrayJoin(disks) AS disk FROM system.storage_policies WHERE policy_name = 'tiered'
) AS volumes ON volumes.disk = parts.disk_name
WHERE parts.active AND parts.database = currentDatabase() AND parts.table = 'shares'
GROUP BY 1, 2 ORDER BY 1, 2
"""
# A part moves once all its rows are old enough.
_WAITING: Final = """
SELECT count(), sum(rows), sum(bytes_on_disk) FROM system.parts
WHERE active AND database = currentDatabase() AND table = 'shares' AND notEmpty(move_ttl_info.max)
    AND arrayMax(move_ttl_info.max) <= now()
    AND disk_name IN (
        SELECT arrayJoin(disks) FROM system.storage_policies WHERE policy_name = 'tiered' AND volume_name = 'hot'
    )
"""
_OLDEST_HOT: Final = """
SELECT count(), min(ts) FROM shares WHERE _part IN (
    SELECT name FROM system.parts WHERE active AND database = currentDatabase() AND table = 'shares' AND disk_name IN (
        SELECT arrayJoin(disks) FROM system.storage_policies WHERE policy_name = 'tiered' AND volume_name = 'hot'
    )
)
"""
_VOLUMES: Final = (
    "SELECT volume_name FROM system.storage_policies WHERE policy_name = 'tiered' ORDER BY volume_priority"
)


@dataclass(frozen=True, slots=True)
class DayOnVolume:
    """One day's shares on one volume. `day` is YYYYMMDD, UTC."""

    day: str
    volume: str
    parts: int
    rows: int
    bytes_on_disk: int
    uncompressed_bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is old enough for volume `cold` and still on `hot`."""

    parts: int
    rows: int
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class StorageStatus:
    volumes: tuple[str, ...]
    days: tuple[DayOnVolume, ...]
    oldest_hot: datetime | None
    """None without hot shares."""
    waiting: Waiting


async def storage_status(address: ClickHouseAddress) -> StorageStatus:
    """Raises what clickhouse-connect and aiohttp raise. Reads nothing from volume `cold`."""
    connection = Connection(address)
    try:
        client = await connection.client()
        volumes = (await client.query(_VOLUMES)).result_rows
        days = (await client.query(_PARTS)).result_rows
        (waiting,) = (await client.query(_WAITING)).result_rows
        ((hot_rows, oldest),) = (await client.query(_OLDEST_HOT)).result_rows
    finally:
        await connection.close()
    return StorageStatus(
        tuple(str(row[0]) for row in volumes),
        tuple(DayOnVolume(str(row[0]), str(row[1]), *map(int, row[2:])) for row in days),
        oldest if hot_rows else None,
        Waiting(*map(int, waiting)),
    )
