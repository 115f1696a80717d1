"""The one way to ClickHouse: clickhouse-connect's async client over the HTTP interface, made when first needed."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, Literal

import aiohttp
from clickhouse_connect.driver import create_async_client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


FIRST_ANSWER_SECONDS: Final = 60.0
"""So long a server may take to say what it is."""
Trouble = Literal["unreachable", "opening", "slow", "refused"]

# ClickHouse's own words for being too slow: TIMEOUT_EXCEEDED, TOO_SLOW, TOO_MANY_SIMULTANEOUS_QUERIES.
_SLOW_CODES: Final = frozenset({159, 160, 202})
# What the embedded server answers until its engine is open; its code alone is any trouble with S3.
_OPENING: Final = re.compile(r"ClickHouse is not open yet: (.*?)(?:\. \(S3_ERROR\)|$)", re.MULTILINE)


class StoreUnavailable(Exception):  # noqa: N818 - a state that callers answer with 503
    """ClickHouse gave no answer. `trouble` says how:

    unreachable: nobody answers at its address; opening: it runs and has yet to open its tables;
    slow: it took longer than the caller may wait, hung or overloaded; refused: it answered with an
    error, whose number is `code`. The text is for logs: it may quote ClickHouse.
    """

    def __init__(self, text: str, trouble: Trouble, code: int | None = None, reason: str = "") -> None:
        super().__init__(text)
        self.trouble = trouble
        self.code = code
        self.reason = reason
        """What it waits for before it is open; empty for any other trouble."""


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Raises StoreUnavailable for whatever asyncio.timeout(seconds), clickhouse-connect or aiohttp raise in here."""
    try:
        yield
    except TimeoutError as error:
        raise StoreUnavailable(f"no answer from ClickHouse in {seconds:g} s", "slow") from error
    except ClickHouseError as error:
        code = error.code if isinstance(error, Error) else None
        if opening := _OPENING.search(str(error)):
            raise StoreUnavailable(str(error), "opening", code, opening[1]) from error
        trouble: Trouble = "unreachable" if code is None else "slow" if code in _SLOW_CODES else "refused"
        raise StoreUnavailable(str(error), trouble, code) from error
    except (OSError, aiohttp.ClientError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}", "unreachable") from error


@asynccontextmanager
async def ended_within(seconds: float) -> AsyncIterator[None]:
    """A block that raises StoreUnavailable when its time is over, however many questions it has asked."""
    with answered_within(seconds):
        async with asyncio.timeout(seconds):
            yield


@contextmanager
def cancellation_kept() -> Iterator[None]:
    """Whoever was cancelled in this block, or timed out, leaves it with CancelledError, whatever a library made of it.

    clickhouse-connect 1.12 drops a cancellation that comes while it clears up after a failure (it closes the session of
    a client that could not connect, or a response that broke off) and raises the failure; aiohappyeyeballs drops one
    that comes while it ends the attempts that lost. A task that tries again after a failure would then never end.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    except Exception as error:
        if task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if task.cancelling() > before:
        raise asyncio.CancelledError


class Connection:
    """A client that is made on first use and again after it was dropped; many queries may run at once."""

    def __init__(
        self,
        address: ClickHouseAddress,
        *,
        database: str | None = None,
        connect_timeout_seconds: float = 2,
        timeout_seconds: float = 60,
    ) -> None:
        self._address = address
        self._database = database
        self._connect_timeout_seconds = connect_timeout_seconds
        self._timeout_seconds = timeout_seconds
        self._client: AsyncClient | None = None
        self._making = asyncio.Lock()

    async def client(self) -> AsyncClient:
        """Raises what clickhouse-connect and aiohttp raise where the server cannot be reached."""
        async with self._making:
            if self._client is None:
                # However long an answer may take, whether somebody is there shows at once.
                async with asyncio.timeout(FIRST_ANSWER_SECONDS):
                    with cancellation_kept():
                        self._client = await create_async_client(
                            host=self._address.host,
                            port=self._address.port,
                            username=self._address.user,
                            password=self._address.password,
                            database=self._address.database if self._database is None else self._database,
                            connect_timeout=self._connect_timeout_seconds,
                            send_receive_timeout=self._timeout_seconds,
                            query_limit=0,
                        )
            return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
