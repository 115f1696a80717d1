"""What stands between the API and ClickHouse: passes all on, later than it came, until it is closed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.warehouse.address import ClickHouseAddress


class Relay:
    """`delay_seconds` holds back each piece of an answer."""

    def __init__(self, behind: ClickHouseAddress) -> None:
        self._behind = behind
        self._writers: set[asyncio.StreamWriter] = set()
        self.delay_seconds = 0.0
        self.closed = False

    def close(self) -> None:
        """As if the server were killed."""
        self.closed = True
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.transport.abort()
            return
        there, server = await asyncio.open_connection(self._behind.host, self._behind.port)
        own = {writer, server}
        self._writers |= own
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, server, later=False))
                both.create_task(self._pass(there, writer, later=True))
        finally:
            self._writers -= own
            for one in own:
                one.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, later: bool) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                if later:
                    await asyncio.sleep(self.delay_seconds)
                sink.write(data)
                await sink.drain()
        sink.transport.abort()


@asynccontextmanager
async def relay_to(address: ClickHouseAddress) -> AsyncIterator[tuple[Relay, int]]:
    """A relay, and its port."""
    relay = Relay(address)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    try:
        yield relay, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        relay.close()
        await server.wait_closed()
