"""A service on a real socket, for tests: uvicorn in this event loop, on a free port of loopback."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine


def free_port() -> int:
    """A port of loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(service: Callable[[], Coroutine[Any, Any, None]], port: int) -> AsyncIterator[asyncio.Task[None]]:
    """Run `service` until the block ends, then cancel it as the command does; the block starts when `port` answers."""
    task = asyncio.create_task(service())
    try:
        async with asyncio.timeout(10):
            while True:
                if task.done():
                    task.result()
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    await writer.wait_closed()
                    break
                await asyncio.sleep(0.02)
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
