"""A miner that says, line by line, what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from services.proxy.endpoint import host_and_port
from services.stratum.difficulty import actual_difficulty
from services.stratum.header import sha256d
from services.stratum.job import Job
from services.stratum.version import rolled
from services.tests.proxy.scripted_pool import EASIEST

if TYPE_CHECKING:
    import ssl

Message = dict[str, Any]
PATIENCE_SECONDS = 30.0


class TalkingMiner:
    """``async with`` connects. Keeps apart answers, jobs and other notifications in the order they came."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", local: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._address = host, port
        self._local = None if local is None else (local, 0)
        self._tls = tls
        self.log: list[Message] = []
        self.extranonce1 = b""
        self.extranonce2_size = 0
        self.mask = 0
        self._read = 0
        self._ids = 0

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(
            *self._address, limit=1 << 22, local_addr=self._local, ssl=self._tls
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    @property
    def address(self) -> str:
        return host_and_port(*self.writer.get_extra_info("sockname")[:2])

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, method: str, params: Any, request_id: Any = None) -> Any:
        if request_id is None:
            self._ids += 1
            request_id = self._ids
        self.write(json.dumps({"id": request_id, "method": method, "params": params}).encode() + b"\n")
        return request_id

    async def read(self) -> Message:
        """The next message; raises EOFError where the proxy has closed, TimeoutError where it says nothing."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError(line)
        message: Message = json.loads(line)
        self.log.append(message)
        return message

    async def answer(self, request_id: Any) -> Message:
        """The next answer with that id that was not given out yet; reads on until it comes."""
        while True:
            for position, message in enumerate(self.log):
                if "method" not in message and message["id"] == request_id:
                    return self.log.pop(position)
            await self.read()

    async def ask(self, method: str, params: Any, request_id: Any = None) -> Message:
        return await self.answer(self.send(method, params, request_id))

    async def told(self, method: str) -> list[Any]:
        """The parameters of the next notification of ``method``; it and what came before it are read off."""
        while True:
            for position, message in enumerate(self.log):
                if message.get("method") == method:
                    del self.log[position]
                    params: list[Any] = message["params"]
                    return params
            await self.read()

    async def job(self) -> Job:
        """The next job, as the miner sees it."""
        return Job.from_notify(await self.told("mining.notify"))

    async def subscribe(self) -> Message:
        message = await self.ask("mining.subscribe", ["talking/1.0"])
        self.extranonce1, self.extranonce2_size = bytes.fromhex(message["result"][1]), message["result"][2]
        return message

    async def start(self, worker: str = "wallet.rig", password: str = "x") -> Job:
        """Subscribes and authorizes; gives the first job."""
        await self.subscribe()
        assert (await self.ask("mining.authorize", [worker, password]))["result"] is True
        return await self.job()

    def share(
        self,
        job: Job,
        *,
        worker: str = "wallet.rig",
        at_least: float = EASIEST,
        below: float = float("inf"),
        start: int = 0,
        ntime: int | None = None,
        bits: int | None = None,
    ) -> list[Any]:
        """Mines a submit whose actual difficulty lies between the bounds: one hash in 65,536 meets not even EASIEST."""
        when = job.ntime if ntime is None else ntime
        extranonce2 = bytes(self.extranonce2_size)
        version = job.version if bits is None else rolled(job.version, self.mask, bits)
        for nonce in range(start, start + 10_000_000):
            header = job.header(extranonce=self.extranonce1 + extranonce2, version=version, ntime=when, nonce=nonce)
            if at_least <= actual_difficulty(sha256d(header)) < below:
                break
        params = [worker, job.job_id, extranonce2.hex(), f"{when:08x}", f"{nonce:08x}"]
        return params if bits is None else [*params, f"{bits:08x}"]

    async def submit(self, job: Job, request_id: Any = None, **how: Any) -> Message:
        return await self.ask("mining.submit", self.share(job, **how), request_id)

    async def closed(self) -> None:
        """Reads until the proxy closes."""
        try:
            while True:
                await self.read()
        except (EOFError, ConnectionError):
            return
