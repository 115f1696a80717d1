"""`sharehouse spool ship`: what a dead process left on disk, into ClickHouse."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from services.command import options
from services.command.mistake import Mistake
from services.warehouse.segment_files import segment_paths
from services.warehouse.setaside import FOLDER
from services.warehouse.shipper import Shipper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.command.configuration import Configuration

TELL_EVERY_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 90.0
"""So long nothing may be taken before this gives up; one INSERT may take 60 s."""
_FOREVER_SECONDS: Final = 1e9


def ship(configuration: Configuration, folder: Path, say: Callable[[str], None]) -> None:
    """Ship every segment in `folder`, a spool or the data folder that it lies in. Raises Mistake where rows are left.

    Segments that a living process of this machine holds are left to it. Safe to stop and to repeat.
    """
    spool = _spool_in(folder)
    if not segment_paths(spool):
        say(f"{spool}: nothing to ship")
        return
    asyncio.run(_ship(Shipper(spool, None, options.address(configuration)), spool, say))


def _spool_in(folder: Path) -> Path:
    if not folder.is_dir():
        raise Mistake(f"{folder}: there is no such folder; name the spool of the process that is gone (DATA/spool)")
    inside = folder / "spool"
    return inside if inside.is_dir() and not segment_paths(folder) else folder


async def _ship(shipper: Shipper, spool: Path, say: Callable[[str], None]) -> None:
    shipping = asyncio.create_task(shipper.drain(_FOREVER_SECONDS))
    try:
        await _watch(shipping, shipper, say)
    finally:
        shipping.cancel()
        await asyncio.wait({shipping})
    if not shipping.cancelled():
        shipping.result()
    else:
        await shipper.drain(0)  # counts what is left, and lets it go
    say(f"{shipper.shipped_rows:,} rows shipped in {shipper.shipped_batches:,} inserts")
    if shipper.set_aside_rows:
        say(f"{shipper.set_aside_rows:,} rows that ClickHouse will never take lie in {spool / FOLDER}, with the reason")
    if shipper.left_rows:
        raise Mistake(f"{spool}: {shipper.left_rows:,} rows are left; {_why(shipper)}; mend that and run this again")
    if held := segment_paths(spool):
        names = ", ".join(path.name for path in held)
        raise Mistake(f"{spool}: held by a living process, which ships them, or not readable (see above): {names}")


async def _watch(shipping: asyncio.Task[bool], shipper: Shipper, say: Callable[[str], None]) -> None:
    """Until it is done, or nothing has been taken for too long."""
    taken, since = 0, time.monotonic()
    while time.monotonic() - since < PATIENCE_SECONDS:
        await asyncio.wait({shipping}, timeout=TELL_EVERY_SECONDS)
        if shipping.done():
            return
        now_taken = shipper.shipped_rows + shipper.set_aside_rows
        if now_taken > taken:
            taken, since = now_taken, time.monotonic()
        say(f"{taken:,} rows so far" + (f"; {_why(shipper)}" if shipper.last_error else ""))


def _why(shipper: Shipper) -> str:
    return f"ClickHouse does not take them ({' '.join(shipper.last_error.split())[:300] or 'it is too slow'})"
