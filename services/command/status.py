"""The line of `up` that says what the stack is doing, read from ClickHouse as everything else is."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from services.warehouse.queries import Queries, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.results import PoolStats

# Often while the first shares are waited for, seldom in the long run.
_FIRST_INTERVAL_SECONDS = 5.0
_LATER_INTERVAL_SECONDS = 60.0
_FIRST_MINUTES_SECONDS = 120.0
_MOST_OF_ERROR = 160
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


async def follow(address: ClickHouseAddress, say: Callable[[str], None]) -> None:
    """Say how many shares were accepted, every few seconds at first and every minute later, until cancelled.

    Why there are no figures is said when it changes.
    """
    queries = Queries(address)
    told = ""
    started = time.monotonic()
    try:
        while True:
            early = time.monotonic() - started < _FIRST_MINUTES_SECONDS
            await asyncio.sleep(_FIRST_INTERVAL_SECONDS if early else _LATER_INTERVAL_SECONDS)
            try:
                told = line(await queries.pool_stats(int(time.time()), None))
            except StoreUnavailable as error:
                # Figures are told as they come, a trouble once.
                if told == (told := trouble(error)):
                    continue
            say(told)
    finally:
        await queries.close()


def line(stats: PoolStats) -> str:
    """Words for the last 24 hours; the hash rate is that of the last 5 minutes."""
    return (
        f"status: {stats.last_24h.shares} shares accepted in 24 h, {_count(stats.ok_workers, 'worker')} mining,"
        f" {rate(stats.last_5m.hash_rate)} over 5 min, {_count(len(stats.pools), 'pool')}"
    )


def trouble(error: StoreUnavailable) -> str:
    """Why there are no figures. Whatever it is, shares are safe."""
    first_line = str(error).partition("\n")[0]
    said = {
        "unreachable": "ClickHouse cannot be reached",
        "opening": f"ClickHouse is opening: {error.reason[:_MOST_OF_ERROR]}",
        "slow": "ClickHouse answers too slowly for figures",
        "refused": f"ClickHouse refused to give figures (its error {error.code}: {first_line[:_MOST_OF_ERROR]})",
    }
    return f"status: {said[error.trouble]}; shares that it does not take wait in the spool"


def rate(hashes_per_second: float) -> str:
    """Three significant digits with an SI prefix."""
    value, step = hashes_per_second, 0
    while value >= 999.5 and step < len(_PREFIXES) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.3g} {_PREFIXES[step]}H/s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
