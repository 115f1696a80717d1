"""What a client may keep by saying nothing, little, or too much: on real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from services.tests.serving import running_app
from services.web.connection import HEAD_MAX_BYTES, BoundedConnection
from services.web.places import Places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest
    from starlette.requests import Request


async def _at_once(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("here")


class Gate:
    """An answer of two pieces, the second when the test lets it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, _request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first piece "
            await self.open.wait()
            yield b"second piece "

        return StreamingResponse(pieces())


def app(gate: Gate) -> Starlette:
    return Starlette(routes=[Route("/", _at_once, methods=["GET", "POST"]), Route("/gate", gate.__call__)])


@asynccontextmanager
async def connections(url: str, count: int) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    port = int(url.rpartition(":")[2])
    made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        yield made
    finally:
        for _, writer in made:
            writer.close()
        for _, writer in made:
            with suppress(OSError):
                await writer.wait_closed()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What came before the server closed the connection."""
    found = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(40):
            while piece := await reader.read(65_536):
                found += piece
    return found


async def drip(writer: asyncio.StreamWriter) -> None:
    """A header without end, a byte at a time."""
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)


async def test_who_does_not_get_done_with_a_request_is_closed() -> None:
    begins = [
        b"",
        b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        # The answer is there before the body.
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        # A second request that never ends, after a first one that did.
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    ]
    async with running_app(app(Gate()), request_seconds=0.5) as url, connections(url, len(begins)) as made:
        dripping = []
        for begin, (_, writer) in zip(begins, made, strict=True):
            writer.write(begin)
            if begin.strip():
                dripping.append(asyncio.create_task(drip(writer)))
        for reader, _ in made:
            await until_closed(reader)
        await asyncio.gather(*dripping)


async def test_an_answer_may_last_longer_than_a_request() -> None:
    gate, places = Gate(), Places(5)
    async with running_app(app(gate), places=places) as url, connections(url, 1) as ((reader, writer),):
        # What has begun behind it does not end it.
        writer.write(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\nGET ")
        await reader.readuntil(b"first piece ")
        (connection,) = places._held
        assert isinstance(connection, BoundedConnection)
        connection._too_late()
        gate.open.set()
        assert (await reader.readuntil(b"0\r\n\r\n")).count(b"second piece ") == 1
        connection._too_late()
        assert await until_closed(reader) == b""


async def test_those_that_wait_make_room() -> None:
    gate, places = Gate(), Places(20)
    async with running_app(app(gate), places=places) as url, httpx.AsyncClient(base_url=url, timeout=40) as client:
        async with connections(url, 1) as ((busy, asking),):
            asking.write(b"GET /gate HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            await busy.readuntil(b"first piece ")
            async with connections(url, 100) as slow:
                for _, writer in slow:
                    writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
                assert [(await client.get("/")).text for _ in range(3)] == ["here"] * 3
                assert len(places) == places.most
                # Whoever came first and never asked had to go first.
                assert [await until_closed(reader) for reader, _ in slow[:81]] == [b""] * 81
                gate.open.set()
                assert (await until_closed(busy)).count(b"second piece ") == 1


async def test_a_newcomer_goes_where_all_are_busy() -> None:
    gate = Gate()
    async with running_app(app(gate), places=Places(2)) as url:
        async with connections(url, 2) as busy:
            for reader, writer in busy:
                writer.write(b"GET /gate HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                await reader.readuntil(b"first piece ")
            async with connections(url, 1) as ((late, _),):
                assert await until_closed(late) == b""
            gate.open.set()
            assert [(await until_closed(reader)).count(b"second piece ") for reader, _ in busy] == [1, 1]


async def test_a_head_without_end_is_refused() -> None:
    async with running_app(app(Gate())) as url, connections(url, 1) as ((reader, writer),):
        begin = b"GET / HTTP/1.1\r\nX-Long: "
        # No byte more, for what the server leaves unread makes its kernel take back the answer.
        writer.write(begin + b"x" * (HEAD_MAX_BYTES + 1 - len(begin)))
        assert (await until_closed(reader)).startswith(b"HTTP/1.1 431 ")


async def test_who_reads_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.web.connection.STALLED_SECONDS", 0.2)
    large = PlainTextResponse("x" * 30_000_000)
    places = Places(5)
    async with running_app(large, places=places) as url, connections(url, 1) as ((reader, writer),):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        # The reader takes little more than its head before somebody asks it for the rest.
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(40):
            while len(places):
                await asyncio.sleep(0.05)
        assert len(await until_closed(reader)) < 30_000_000
