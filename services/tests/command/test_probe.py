from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from services.command import probe
from services.tests.free_port import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def _answering(answer: bytes) -> AsyncIterator[int]:
    """The port of a server that takes one connection, which has ended when this does."""
    ended = asyncio.Event()

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await ended.wait()


async def _http(answer: bytes) -> bool:
    async with _answering(answer) as port:
        return await probe.http("127.0.0.1", port, "/readyz")()


async def test_only_200_is_ready() -> None:
    assert await _http(b"HTTP/1.1 200 OK\r\n\r\n")
    assert not await _http(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    assert not await _http(b"")
    assert not await _http(b"x" * 100_000)


async def test_nobody_there_is_not_ready() -> None:
    (port,) = free_ports(1)
    assert not await probe.http("127.0.0.1", port, "/")()
    assert not await probe.tcp("127.0.0.1", port)()


async def test_whoever_accepts_is_ready() -> None:
    async with _answering(b"") as port:
        assert await probe.tcp("127.0.0.1", port)()
