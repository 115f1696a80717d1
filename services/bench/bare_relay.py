"""A relay that copies bytes and does nothing else: what any proxy in Python on uvloop costs at least."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BareRelayOptions:
    """Where it listens, and where the pool does."""

    port: int
    pool_port: int


class _End(asyncio.Protocol):
    """One of two connections; ``other`` takes what comes in here."""

    other: _End

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._early = b""

    # uvloop's transports have the interface of asyncio.Transport without being one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(self._early)

    def write(self, data: bytes) -> None:
        if self.transport is None:
            self._early += data
        else:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.other.transport is not None:
            self.other.transport.close()


class _MinersEnd(_End):
    def __init__(self, pool_port: int) -> None:
        super().__init__()
        self._pool_port = pool_port
        self.other = _End()
        self.other.other = self

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._dialling = loop.create_task(loop.create_connection(lambda: self.other, "127.0.0.1", self._pool_port))


async def serve(options: BareRelayOptions) -> None:
    """Relays until its task is cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _MinersEnd(options.pool_port), "127.0.0.1", options.port, backlog=4096)
    async with server:
        await asyncio.Event().wait()
