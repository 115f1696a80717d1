"""A pool that says what a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

_COINBASE_INPUT = "0200000001" + "00" * 32 + "ffffffff"
# script: height 900,000, a tag of 8 bytes, room for 8 bytes of extranonce
COINBASE1 = _COINBASE_INPUT + "17" + "03a0bb0d" + "08" + "11" * 8 + "08"
COINBASE2 = "00" + "ffffffff0100f2052a010000001600140000000000000000000000000000000000000000" + "00000000"


def notify(job_id: str, *, nbits: str = "1e00ffff", clean: bool = True, coinbase1: str = COINBASE1) -> dict[str, Any]:
    params = [job_id, "ab" * 32, coinbase1, COINBASE2, ["cd" * 32], "20000000", nbits, "65000000", clean]
    return {"id": None, "method": "mining.notify", "params": params}


def set_difficulty(difficulty: float) -> dict[str, Any]:
    return {"id": None, "method": "mining.set_difficulty", "params": [difficulty]}


class ScriptedPool:
    """Answers by ``answers`` (method to result; an Exception's first argument is the error) and keeps all requests."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "configure": {"version-rolling": True, "version-rolling.mask": "1fffe000"},
            "subscribe": [[["mining.notify", "s1"]], "0a0b0c0d", 4],
            "authorize": True,
            "submit": True,
        } | answers
        self.after_subscribe: list[dict[str, Any]] = []
        self.tls: ssl.SSLContext | None = None
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self._pings = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._heard = asyncio.Event()

    async def __aenter__(self) -> ScriptedPool:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Ends every connection."""
        for writer in self._writers:
            # Early releases of Python 3.11 fail so where TLS was lost already.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()
        self._writers.clear()

    def say(self, *messages: dict[str, Any] | bytes) -> None:
        """To every miner."""
        for writer in self._writers:
            for message in messages:
                writer.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    def asked(self, method: str) -> list[list[Any]]:
        """The parameters of each such request."""
        return [request["params"] for request in self.requests if request.get("method") == f"mining.{method}"]

    async def wait_for(self, method: str, count: int = 1) -> list[Any]:
        """The parameters of the count-th such request."""
        while len(self.asked(method)) < count:
            self._heard.clear()
            await self._heard.wait()
        return self.asked(method)[count - 1]

    async def settled(self) -> None:
        """Returns once the miners have handled everything said so far."""
        self._pings += 1
        pong = {"id": f"ping {self._pings}", "result": "pong", "error": None}
        self.say({"id": pong["id"], "method": "mining.ping", "params": []})
        while pong not in self.requests:
            self._heard.clear()
            await self._heard.wait()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                request = json.loads(line)
                self.requests.append(request)
                self._answer(writer, request)
                self._heard.set()
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, request: dict[str, Any]) -> None:
        method = request.get("method", "").removeprefix("mining.")
        answer = self.answers.get(method)
        if answer is not None:
            error = answer.args[0] if isinstance(answer, Exception) else None
            result = None if error is not None else answer
            line = json.dumps({"id": request["id"], "result": result, "error": error})
            writer.write(line.encode() + b"\n")
        if method == "subscribe":
            for message in self.after_subscribe:
                writer.write(json.dumps(message).encode() + b"\n")
