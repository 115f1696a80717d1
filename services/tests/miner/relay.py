"""A TCP relay between miner and pool that can lose the pool's answer and the connection, as networks do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class LosingRelay:
    """Relays until told to lose the answer to the next submit: the pool gets the share, the miner a reset."""

    def __init__(self, pool_port: int) -> None:
        self.pool_port = pool_port
        self.lose_next_answer = False
        self.lost_answers = 0
        self.submits = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> LosingRelay:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            pool_reader, pool_writer = await asyncio.open_connection("127.0.0.1", self.pool_port)
            lost_ids: set[int] = set()
            ways = [
                asyncio.create_task(self._to_pool(reader, pool_writer, lost_ids)),
                asyncio.create_task(self._to_miner(pool_reader, writer, lost_ids)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                pool_writer.close()
                writer.transport.abort()
        writer.close()
        self._tasks.discard(task)

    async def _to_pool(self, reader: asyncio.StreamReader, pool: asyncio.StreamWriter, lost_ids: set[int]) -> None:
        while line := await reader.readline():
            message = json.loads(line)
            if message["method"] == "mining.submit":
                self.submits += 1
                if self.lose_next_answer:
                    self.lose_next_answer = False
                    lost_ids.add(message["id"])
            pool.write(line)

    async def _to_miner(self, pool: asyncio.StreamReader, writer: asyncio.StreamWriter, lost_ids: set[int]) -> None:
        while line := await pool.readline():
            message = json.loads(line)
            if message["id"] in lost_ids and "method" not in message:
                self.lost_answers += 1
                return
            writer.write(line)
