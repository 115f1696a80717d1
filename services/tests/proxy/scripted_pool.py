"""A pool on a real socket that does what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.stratum.job import Job

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

EASIEST = 2.0**-32
"""A difficulty that 65,535 of 65,536 hashes meet."""
EASY_NBITS = 0x1D00FFFF
PATIENCE_SECONDS = 30.0


def make_job(
    job_id: str = "a", *, prevhash: int = 1, ntime: int = 1_700_000_000, clean: bool = True, **more: Any
) -> Job:
    """A job that looks like a pool's; no hash of the tests meets its network target unless nbits say so."""
    fields: dict[str, Any] = {
        "coinbase1": b"\x01" * 41 + b"\x08\x03\x40\x0d\x03",
        "coinbase2": b"\xff" * 60,
        "merkle_branch": (b"\x11" * 32, b"\x22" * 32),
        "version": 0x20000000,
        "nbits": EASY_NBITS,
        **more,
    }
    return Job(job_id=job_id, prevhash=bytes([prevhash]) * 32, ntime=ntime, clean_jobs=clean, **fields)


@dataclass
class Script:
    """How a pool answers. ``submit`` gives the answer to a submit, without its id; None for no answer."""

    extranonce1: str = "aabbccdd"
    extranonce2_size: int = 8
    mask: str | None = "1fffe000"
    difficulty: float | None = EASIEST
    job: Job | None = field(default_factory=make_job)
    submit: Callable[[list[Any]], dict[str, Any] | None] = lambda _: {"result": True, "error": None}
    ignored: frozenset[str] = frozenset()
    """Methods that get no answer."""
    refused: frozenset[str] = frozenset()
    """Methods that get an error."""
    refuses_agent: bool = False
    """Takes a subscribe without parameters only."""


class PoolConnection:
    """One proxy upstream, seen from the pool."""

    def __init__(self, script: Script, writer: asyncio.StreamWriter) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self._writer = writer
        self._changed = asyncio.Event()
        self._pings = 0
        self._answered: set[Any] = set()

    @property
    def methods(self) -> list[str]:
        return [request["method"] for request in self.requests]

    def params(self, method: str) -> list[Any]:
        """The parameters of each call of ``method``."""
        return [request["params"] for request in self.requests if request["method"] == method]

    async def called(self, method: str, times: int = 1) -> list[Any]:
        """Waits until ``method`` was called so often; gives the parameters of each call."""
        while len(self.params(method)) < times:
            self._changed.clear()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._changed.wait()
        return self.params(method)

    async def settled(self) -> None:
        """Waits until the proxy has taken in all that was sent."""
        self._pings += 1
        ping = f"settled {self._pings}"
        self.send({"id": ping, "method": "mining.ping", "params": []})
        while ping not in self._answered:
            self._changed.clear()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._changed.wait()

    def send(self, *messages: dict[str, Any] | bytes) -> None:
        for message in messages:
            self._writer.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    def notify(self, job: Job) -> None:
        self.send({"id": None, "method": "mining.notify", "params": job.notify_params()})

    def set_difficulty(self, difficulty: float) -> None:
        self.send({"id": None, "method": "mining.set_difficulty", "params": [difficulty]})

    def call(self, method: str, params: list[Any]) -> None:
        self.send({"id": None, "method": method, "params": params})

    def close(self) -> None:
        """Sends what is queued, then closes."""
        self._writer.close()

    def drop(self) -> None:
        self._writer.transport.abort()

    def stop_reading(self) -> None:
        """Leaves what comes to the kernel, as a hung process does."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def hear(self, answer: dict[str, Any]) -> None:
        self._answered.add(answer["id"])
        self._changed.set()

    def take(self, request: dict[str, Any]) -> None:
        self.requests.append(request)
        self._changed.set()
        script, answer = self.script, {"id": request["id"], "error": None}
        if request["method"] in script.ignored:
            return
        if request["method"] in script.refused:
            self.send({**answer, "error": [24, "not you", None], "result": None})
            return
        if script.refuses_agent and request["method"] == "mining.subscribe" and request["params"]:
            self.send({**answer, "error": [20, "no parameters, please", None], "result": None})
            return
        match request["method"]:
            case "mining.configure":
                rolling = {"version-rolling": False}
                if script.mask is not None:
                    rolling = {"version-rolling": True, "version-rolling.mask": script.mask}  # type: ignore[dict-item]
                self.send({**answer, "result": rolling})
            case "mining.subscribe":
                subscriptions = [["mining.notify", "s"]]
                self.send({**answer, "result": [subscriptions, script.extranonce1, script.extranonce2_size]})
                if script.difficulty is not None:
                    self.set_difficulty(script.difficulty)
                if script.job is not None:
                    self.notify(script.job)
            case "mining.submit":
                verdict = script.submit(request["params"])
                if verdict is not None:
                    self.send({"id": request["id"], **verdict})
            case _:
                self.send({**answer, "result": True})


class ScriptedPool:
    """``async with`` opens it. ``connections`` are all that it ever had, by age."""

    def __init__(
        self, script: Script | None = None, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.script = script or Script()
        self.connections: list[PoolConnection] = []
        self.host = host
        self.port = port
        self._tls = tls
        self._opened = asyncio.Event()

    async def __aenter__(self) -> ScriptedPool:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=1 << 22, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await asyncio.sleep(0)

    def close(self) -> None:
        """Drops every connection and takes no more."""
        self._server.close()
        for connection in self.connections:
            connection.drop()

    async def connection(self, number: int = 0) -> PoolConnection:
        """Waits for the upstream of that number, counted from 0."""
        while len(self.connections) <= number:
            self._opened.clear()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._opened.wait()
        return self.connections[number]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = PoolConnection(self.script, writer)
        self.connections.append(connection)
        self._opened.set()
        with suppress(OSError, asyncio.CancelledError):
            while line := await reader.readline():
                if "method" in (message := json.loads(line)):
                    connection.take(message)
                else:
                    connection.hear(message)
        writer.close()
