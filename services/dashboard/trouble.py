"""What a page that needs the database says while it gives no answer, and how it stops asking for who has gone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fastapi import Request

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.client import StoreUnavailable

T = TypeVar("T")

_MEMORY: Final = 241
_UNKNOWN_TABLE: Final = 60
_S3: Final = 499


@dataclass(frozen=True, slots=True)
class Trouble:
    """A sentence, and what to do."""

    sentence: str
    advice: str


class GoneError(Exception):
    """Whoever asked has gone; nobody reads the answer."""


def trouble(error: StoreUnavailable, clickhouse: ClickHouseAddress) -> Trouble:
    """In words for an operator; nothing of ClickHouse's own text, which may quote what was asked."""
    place = f"http://{clickhouse.host}:{clickhouse.port}"
    if error.code == _MEMORY:
        return Trouble(
            "This question needs more memory than a page may use.", "Choose a shorter period, or one worker."
        )
    if error.code == _S3:
        return Trouble(
            "The shares of this period lie on S3, which does not answer.",
            "A period since then can be asked about. sharehouse s3 check says what is wrong with S3.",
        )
    if error.trouble == "slow":
        return Trouble(
            "The database took too long over this question.",
            "Choose a shorter period, one worker, or no least difficulty; else its machine is overloaded.",
        )
    if error.trouble == "opening":
        return Trouble("The database is opening.", f"Load the page again in a moment. It waits: {error.reason}.")
    if error.trouble == "refused":
        remedy = "sharehouse db migrate makes its tables." if error.code == _UNKNOWN_TABLE else "Its log says why."
        return Trouble("The database refused the question.", f"ClickHouse's error {error.code}. {remedy}")
    return Trouble(
        "The database is away.",
        f"Miners go on, and their shares wait in the proxy's spool. Check that ClickHouse answers at {place}/ping.",
    )


async def while_present(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled, its queries with it, once the client closes. Raises GoneError then."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise GoneError
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
