"""A Stratum miner written from the protocol's description alone: what the pool's arithmetic is held against."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

DIFFICULTY_1_TARGET = 0xFFFF << 208


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def target_of_nbits(nbits: str) -> int:
    """For the ordinary encodings, exponent above 3."""
    return int(nbits[2:], 16) << 8 * (int(nbits[:2], 16) - 3)


@dataclass(frozen=True)
class WireJob:
    """mining.notify's nine parameters as they came, and the difficulty that held then."""

    params: list[Any]
    difficulty: float

    @property
    def job_id(self) -> str:
        return str(self.params[0])

    @property
    def network_target(self) -> int:
        return target_of_nbits(self.params[6])

    @property
    def share_target(self) -> int:
        return int(DIFFICULTY_1_TARGET / Fraction(self.difficulty))

    def coinbase(self, extranonce: str) -> bytes:
        return bytes.fromhex(self.params[2] + extranonce + self.params[3])

    def header(self, extranonce: str, nonce: int, ntime: str | None = None, version: int | None = None) -> bytes:
        root = sha256d(self.coinbase(extranonce))
        for sibling in self.params[4]:
            root = sha256d(root + bytes.fromhex(sibling))
        # prevhash: eight words, each with its bytes in the other order
        prevhash = b"".join(struct.pack("<I", int(self.params[1][i : i + 8], 16)) for i in range(0, 64, 8))
        return (
            struct.pack("<I", int(self.params[5], 16) if version is None else version)
            + prevhash
            + root
            + struct.pack("<III", int(ntime or self.params[7], 16), int(self.params[6], 16), nonce)
        )


@dataclass(frozen=True)
class FoundShare:
    extranonce2: str
    nonce: str
    hash: str


class WireMiner:
    """One connection; answers and notifications are sorted as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self.extranonce1 = ""
        self.extranonce2_size = 0
        self.session = ""
        self.difficulty = 1.0
        self.jobs: list[WireJob] = []
        self.order: list[str] = []
        self._extranonce2 = itertools.count()

    @classmethod
    async def connect(cls, port: int) -> WireMiner:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def ready(cls, port: int, worker: str = "wallet.rig", session: str | None = None) -> WireMiner:
        """Subscribed, authorized, with a job."""
        miner = await cls.connect(port)
        await miner.subscribe(session)
        await miner.call("mining.authorize", [worker, "x"])
        await miner.wait_for_jobs(1)
        return miner

    async def close(self) -> None:
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def call(self, method: str, params: list[Any]) -> dict[str, Any]:
        request_id = next(self._ids)
        await self.send(json.dumps({"id": request_id, "method": method, "params": params}).encode() + b"\n")
        while True:
            answer = await self.read()
            if answer is not None:
                assert answer["id"] == request_id
                return answer

    async def read(self) -> dict[str, Any] | None:
        """Reads one line; gives an answer, or None for a notification, which it keeps."""
        line = await self._reader.readline()
        if not line:
            raise EOFError("the pool closed the connection")
        parsed: dict[str, Any] = json.loads(line)
        if "method" not in parsed:
            self.order.append("answer")
            return parsed
        self.order.append(parsed["method"])
        if parsed["method"] == "mining.set_difficulty":
            (self.difficulty,) = parsed["params"]
        elif parsed["method"] == "mining.set_extranonce":
            self.extranonce1, self.extranonce2_size = parsed["params"]
        elif parsed["method"] == "mining.notify":
            self.jobs.append(WireJob(parsed["params"], self.difficulty))
        return None

    async def wait_for_jobs(self, count: int) -> WireJob:
        while len(self.jobs) < count:
            assert await self.read() is None
        return self.jobs[count - 1]

    async def subscribe(self, session: str | None = None) -> None:
        answer = await self.call("mining.subscribe", ["test", session] if session else ["test"])
        subscriptions, self.extranonce1, self.extranonce2_size = answer["result"]
        self.session = dict(subscriptions)["mining.notify"]

    def find(self, job: WireJob, target: int, *, above: int = -1, version: int | None = None) -> FoundShare:
        """A share whose hash is at most ``target`` and above ``above``."""
        extranonce2 = f"{next(self._extranonce2):0{2 * self.extranonce2_size}x}"
        header = job.header(self.extranonce1 + extranonce2, 0, version=version)[:76]
        for nonce in range(1 << 32):
            block_hash = sha256d(header + struct.pack("<I", nonce))
            if above < int.from_bytes(block_hash, "little") <= target:
                return FoundShare(extranonce2, f"{nonce:08x}", block_hash[::-1].hex())
        raise AssertionError("no share in 2^32 nonces")

    async def submit(
        self, job: WireJob, share: FoundShare, *, worker: str = "wallet.rig", ntime: str | None = None, bits: Any = None
    ) -> dict[str, Any]:
        params = [worker, job.job_id, share.extranonce2, ntime or job.params[7], share.nonce]
        return await self.call("mining.submit", params if bits is None else [*params, bits])
