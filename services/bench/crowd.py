"""Many miners in one process, as cheap as they can be, so that what is measured is what stands behind them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from services.stratum.pool_session import JobReceived, PoolSession, SubmitAnswered, Subscribed

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.stratum.job import Job

_AT_ONCE: Final = 200
"""Connections being opened at the same time: a listener's backlog is no subject here."""


class CrowdMiner(asyncio.Protocol):
    """One miner. ``ready`` is done once a job is there; ``latencies`` are seconds from each submit to its answer.

    With ``on_line`` it only looks whether a whole line has come, for what reading costs is no subject here.
    """

    def __init__(self, worker: str) -> None:
        self.on_line: Callable[[], None] | None = None
        self.ready = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.refused: list[tuple[int, str]] = []
        self._worker = worker
        self._session = PoolSession("crowd")
        self._sent_at: deque[float] = deque()
        self._extranonce2 = 0
        self._extranonce2_size = 0
        self._job: Job | None = None

    # uvloop's transports have the interface of asyncio.Transport without being one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self._session.subscribe()
        self._session.authorize(self._worker, "x")
        transport.write(self._session.outgoing())

    def data_received(self, data: bytes) -> None:
        if self.on_line is not None:
            if data.endswith(b"\n"):
                self.on_line()
            return
        for event in self._session.receive(data):
            match event:
                case SubmitAnswered(_, error):
                    self.latencies.append(time.perf_counter() - self._sent_at.popleft())
                    if error is not None:
                        self.refused.append(error)
                case JobReceived(job):
                    self._job = job
                case Subscribed(_, size):
                    self._extranonce2_size = size
        if self._extranonce2_size and self._job and not self.ready.done():
            self.ready.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"{self._worker} was cut off"))

    def submit(self) -> None:
        """Sends a valid share."""
        assert self._job is not None
        extranonce2 = self._extranonce2.to_bytes(self._extranonce2_size, "big")
        self._extranonce2 += 1
        self._session.submit(self._worker, self._job.job_id, extranonce2, self._job.ntime, 0, None)
        self._sent_at.append(time.perf_counter())
        self.transport.write(self._session.outgoing())


async def gather(port: int, miners: int) -> list[CrowdMiner]:
    """Connects so many miners and waits until each has a job."""
    opening = asyncio.Semaphore(_AT_ONCE)
    loop = asyncio.get_running_loop()

    async def one(number: int) -> CrowdMiner:
        async with opening:
            _, miner = await loop.create_connection(lambda: CrowdMiner(f"crowd.{number}"), "127.0.0.1", port)
            await miner.ready
            return miner

    return await asyncio.gather(*map(one, range(miners)))


async def disperse(miners: list[CrowdMiner]) -> None:
    """Closes them all, and lets the other side notice."""
    for miner in miners:
        miner.transport.close()
    await asyncio.sleep(1.0)
