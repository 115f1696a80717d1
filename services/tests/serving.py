"""Services on real sockets, for tests: in this event loop, on free ports of loopback."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvicorn

from services.web.connection import REQUEST_SECONDS
from services.web.places import MOST_CONNECTIONS, Places
from services.web.serving import server_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from starlette.types import ASGIApp


@asynccontextmanager
async def running_app(
    app: ASGIApp, *, places: Places | None = None, request_seconds: float = REQUEST_SECONDS
) -> AsyncIterator[str]:
    """`app` under uvicorn, its connections in `places`; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            server_config(
                app,
                Places(MOST_CONNECTIONS) if places is None else places,
                request_seconds=request_seconds,
                grace_seconds=2,
            )
        )
        task = asyncio.create_task(server._serve([listener]))
        # The socket listens already: a request waits in its backlog until the server takes it.
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def running(service: Callable[[], Coroutine[Any, Any, None]], port: int) -> AsyncIterator[asyncio.Task[None]]:
    """Run `service` until the block ends, then cancel it as the command does; the block starts when `port` answers."""
    task = asyncio.create_task(service())
    try:
        async with asyncio.timeout(30):
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
