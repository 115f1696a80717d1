"""A cancellation is never lost on the way through the client's libraries."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from services.tests.waiting import until
from services.tests.warehouse.rows import make_share
from services.tests.warehouse.shipping import ROOM
from services.warehouse import client
from services.warehouse.address import ClickHouseAddress
from services.warehouse.client import Connection, cancellation_kept
from services.warehouse.migrate import migrate
from services.warehouse.queries import Queries
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path


class _AtFailure(logging.Handler):
    """Acts in the loop's next step after the first connection that failed: the client is then closing its session."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.acted = False
        self._act = act

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Not retrying") and not self.acted:
            self.acted = True
            asyncio.get_running_loop().call_soon(self._act)


@contextmanager
def at_failure(act: Callable[[], object]) -> Iterator[None]:
    logger, handler = logging.getLogger("clickhouse_connect"), _AtFailure(act)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    assert handler.acted


async def ends_cancelled(work: Coroutine[Any, Any, object]) -> bool:
    """Whether the work ends as cancelled if it is cancelled while its client clears up after a failed connection."""
    task = asyncio.create_task(work)
    with at_failure(task.cancel):
        await asyncio.wait({task}, timeout=30)
    ended = task.done()
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
    return ended and task.cancelled()


async def test_a_cancellation_while_a_client_cannot_connect_is_kept(free_port: int) -> None:
    address = ClickHouseAddress(port=free_port)
    assert await ends_cancelled(Connection(address).client())
    assert await ends_cancelled(migrate(address))


def test_a_cancellation_is_kept_on_uvloop_too(free_port: int) -> None:
    assert uvloop.run(ends_cancelled(Connection(ClickHouseAddress(port=free_port)).client()))


async def test_a_query_that_is_cancelled_does_not_report_an_absent_store(free_port: int) -> None:
    assert await ends_cancelled(Queries(ClickHouseAddress(port=free_port)).ping())


async def test_a_drain_that_is_cancelled_ends(folder: Path, free_port: int, generator: random.Random) -> None:
    spool = Spool.open(folder, max_bytes=ROOM)
    spool.append_share(make_share(generator), lambda durable: None)
    await until(lambda: spool.depth_rows == 1)
    assert await ends_cancelled(Shipper(folder, spool, ClickHouseAddress(port=free_port)).drain(60))
    await spool.close()


async def test_a_deadline_is_kept_that_passes_while_a_client_cannot_connect(free_port: int) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60) as deadline:
            with at_failure(lambda: deadline.reschedule(0)):
                while True:
                    try:
                        await Connection(ClickHouseAddress(port=free_port)).client()
                    except Exception:
                        assert time.monotonic() - started < 15


async def test_cancelled_wherever_it_waits(free_port: int) -> None:
    connection = Connection(ClickHouseAddress(port=free_port))
    for _ in range(10):
        for steps in range(100):
            task = asyncio.create_task(connection.client())
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.done():
                assert task.exception() is not None
                break
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled(), steps
        assert steps > 2


@pytest.mark.parametrize("failure", [None, ConnectionError("away")])
async def test_what_a_library_makes_of_a_cancellation_is_a_cancellation(failure: Exception | None) -> None:
    async def loses_it() -> None:
        with cancellation_kept():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                if failure is not None:
                    raise failure from None

    task = asyncio.create_task(loses_it())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_failures_of_a_task_that_was_cancelled_before_stay_what_they_are() -> None:
    async def cleans_up() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            with cancellation_kept():
                await asyncio.sleep(0)
            with cancellation_kept():
                raise ConnectionError("away") from None

    task = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(ConnectionError):
        await task


async def test_a_server_that_says_nothing_is_not_waited_for_as_long_as_an_answer_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "FIRST_ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        connection = Connection(ClickHouseAddress(port=mute.getsockname()[1]), timeout_seconds=3600)
        with pytest.raises(TimeoutError):
            await connection.client()
        await connection.close()
