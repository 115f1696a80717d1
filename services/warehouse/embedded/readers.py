"""Places for statements that read, and the clients that take the answers: one that is slow makes room for others."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

log = structlog.get_logger()

# How long the first in line waits before it costs a slow reader its place.
IN_LINE_SECONDS = 1.0
# Of an answer, what is handed to the socket at once; a client that does not take so much in time has stalled.
PIECE_BYTES = 1 << 16


class Reader:
    """A client that takes its answer, and how long the server has waited for it to do so."""

    def __init__(self, request: web.Request, stalled_seconds: float) -> None:
        self._request = request
        self._stalled_seconds = stalled_seconds
        self._waited_seconds = 0.0
        self._waits_since: float | None = None
        self.dropped = False

    def waited_seconds(self) -> float:
        """Over the whole answer, a wait that has not ended included."""
        if self._waits_since is None:
            return self._waited_seconds
        return self._waited_seconds + asyncio.get_running_loop().time() - self._waits_since

    async def write(self, response: web.StreamResponse, block: bytes) -> None:
        """Send `block`. Raises TimeoutError for a client that takes nothing any more."""
        for start in range(0, len(block), PIECE_BYTES):
            async with self._waiting():
                await response.write(block[start : start + PIECE_BYTES])

    async def write_end(self, response: web.StreamResponse) -> None:
        """End the answer; raises as `write` does."""
        async with self._waiting():
            await response.write_eof()

    def drop(self, *, stalled: bool) -> None:
        """Close the connection, which cancels the statement; ``stalled``: nothing at all was taken any more."""
        self.dropped = True
        waited_seconds = round(self.waited_seconds(), 1)
        log.warning(
            "reader_stalled" if stalled else "reader_too_slow", peer=self._request.remote, waited_seconds=waited_seconds
        )
        if self._request.transport is not None:
            self._request.transport.abort()

    @asynccontextmanager
    async def _waiting(self) -> AsyncIterator[None]:
        self._waits_since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._stalled_seconds):
                yield
        finally:
            self._waited_seconds = self.waited_seconds()
            self._waits_since = None


class ReadPlaces:
    """So many statements read at once; who finds no place waits in order.

    While somebody waits, the reader that has kept the server waiting longest loses its place, once it is
    `patience_seconds` or more over its whole answer: so readers that take little by little cannot block the others, and
    one that disturbs nobody may be as slow as it likes.
    """

    def __init__(self, places: int, *, stalled_seconds: float, patience_seconds: float) -> None:
        self._free = places
        self._stalled_seconds = stalled_seconds
        self._patience_seconds = patience_seconds
        self._freed = asyncio.Event()
        self._first_in_line = asyncio.Lock()
        self._readers: set[Reader] = set()

    @asynccontextmanager
    async def place(self, request: web.Request) -> AsyncIterator[Reader]:
        """Hold a place for the client of `request`."""
        await self._take()
        reader = Reader(request, self._stalled_seconds)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.remove(reader)
            self._free += 1
            self._freed.set()

    async def _take(self) -> None:
        async with self._first_in_line:
            while not self._free:
                self._freed.clear()
                try:
                    async with asyncio.timeout(IN_LINE_SECONDS):
                        await self._freed.wait()
                except TimeoutError:
                    if not self._free:
                        self._make_room()
            self._free -= 1

    def _make_room(self) -> None:
        staying = [reader for reader in self._readers if not reader.dropped]
        slowest = max(staying, key=Reader.waited_seconds, default=None)
        if slowest is not None and slowest.waited_seconds() >= self._patience_seconds:
            slowest.drop(stalled=False)
