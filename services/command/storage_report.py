"""`sharehouse storage status`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.command import database, options
from services.command.mistake import Mistake
from services.warehouse.storage_status import storage_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from services.command.configuration import Configuration
    from services.warehouse.storage_status import DayOnVolume, StorageStatus

_ROW = "{:<10} {:<6} {:>6} {:>15} {:>10} {:>13}"


def report(configuration: Configuration, say: Callable[[str], None]) -> None:
    """Tell where the shares lie. Raises Mistake where ClickHouse is away or refuses."""
    address = options.address(configuration)
    try:
        status = asyncio.run(storage_status(address))
    except (ClickHouseError, aiohttp.ClientError, OSError) as error:
        raise Mistake(f"ClickHouse at {address.host}:{address.port} {database.sentence(error, address.user)}") from None
    for line in lines(status):
        say(line)


def lines(status: StorageStatus) -> Iterator[str]:
    """The report: days, then volumes, then what is yet to move."""
    yield _ROW.format("day", "volume", "parts", "shares", "on disk", "bytes a share")
    for day in status.days:
        yield _row(f"{day.day[:4]}-{day.day[4:6]}-{day.day[6:]}", day.volume, (day,))
    for volume in status.volumes:
        yield _row("all", volume, [day for day in status.days if day.volume == volume])
    uncompressed = sum(day.uncompressed_bytes for day in status.days)
    if stored := sum(day.bytes_on_disk for day in status.days):
        yield f"compression: {uncompressed / stored:.1f} times"
    oldest = "none" if status.oldest_hot is None else f"{status.oldest_hot:%Y-%m-%d %H:%M:%S} UTC"
    yield f"oldest share on volume hot: {oldest}"
    if "cold" in status.volumes:
        waits = status.waiting
        yield f"waiting to move to volume cold: {waits.rows} shares, {size(waits.bytes_on_disk)}, {waits.parts} parts"
    else:
        yield "shares stay on the local disk: there is no volume cold (AWS_S3_BUCKET)"


def _row(day: str, volume: str, of: Iterable[DayOnVolume]) -> str:
    found = list(of)
    parts, rows = sum(one.parts for one in found), sum(one.rows for one in found)
    stored = sum(one.bytes_on_disk for one in found)
    each = f"{stored / rows:.1f}" if rows else "-"
    return _ROW.format(day, volume, parts, rows, size(stored), each)


def size(count: int) -> str:
    """Bytes for people, in units of 1024."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
