from __future__ import annotations

import asyncio

from services.command import probe
from services.tests.free_port import free_ports


async def _answering(answer: bytes) -> tuple[asyncio.Server, int]:
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def _http(answer: bytes) -> bool:
    server, port = await _answering(answer)
    async with server:
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
    server, port = await _answering(b"")
    async with server:
        assert await probe.tcp("127.0.0.1", port)()
