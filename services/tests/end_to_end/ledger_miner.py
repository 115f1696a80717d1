"""Miners that keep a ledger of what they read, outside every process that a test may kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.stratum.difficulty import hash_value, target_of
from services.stratum.header import display, merkle_root, pack_header, sha256d
from services.stratum.pool_session import (
    Configured,
    DifficultySet,
    JobReceived,
    PoolSession,
    SubmitAnswered,
    Subscribed,
    VersionMaskSet,
)
from services.stratum.version import GENERAL_PURPOSE_MASK, rolled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.stratum.job import Job

HASHES_A_SLICE = 256
RETRY_SECONDS = 0.2


@dataclass(slots=True)
class Ledger:
    """Block hashes (display order) of the shares that went out, by what was read about them."""

    accepted: set[str] = field(default_factory=set)
    rejected: dict[str, tuple[int, str]] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    connections: int = 0

    @property
    def submitted(self) -> int:
        return len(self.accepted) + len(self.rejected) + len(self.unanswered)


class LedgerMiner:
    """One connection at a time to a Stratum port; mines on one core's spare slices, reconnects for ever."""

    def __init__(
        self, port: int, worker: str, ledger: Ledger, *, rolls_version: bool, rest_seconds: float = 0.0
    ) -> None:
        self._port = port
        self._worker = worker
        self._ledger = ledger
        self._rolls_version = rolls_version
        self._rest_seconds = rest_seconds

    async def run(self) -> None:
        """Mines until cancelled."""
        while True:
            with contextlib.suppress(OSError, EOFError):
                await self._one_connection()
            await asyncio.sleep(RETRY_SECONDS)

    async def _one_connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._ledger.connections += 1
        connection = _Connection(PoolSession("ledger-miner"), self._worker, self._ledger, self._rest_seconds)
        mining = asyncio.create_task(connection.mine(writer))
        try:
            if self._rolls_version:
                connection.session.configure(GENERAL_PURPOSE_MASK)
            connection.session.subscribe()
            connection.session.authorize(self._worker, "x")
            writer.write(connection.session.outgoing())
            while data := await reader.read(65536):
                connection.receive(data)
        finally:
            mining.cancel()
            self._ledger.unanswered.update(connection.pending.values())
            writer.close()


class _Connection:
    def __init__(self, session: PoolSession, worker: str, ledger: Ledger, rest_seconds: float) -> None:
        self.session = session
        self.pending: dict[int, str] = {}
        self._worker = worker
        self._ledger = ledger
        self._rest_seconds = rest_seconds
        self._mask = 0
        self._difficulty = 1.0
        self._extranonce: tuple[bytes, int] | None = None
        self._job: tuple[Job, int] | None = None
        self._extranonce2 = int.from_bytes(os.urandom(2), "big")

    def receive(self, data: bytes) -> None:
        for event in self.session.receive(data):
            match event:
                case Configured(mask) | VersionMaskSet(mask):
                    self._mask = mask
                case Subscribed(extranonce1, size):
                    self._extranonce = extranonce1, size
                case DifficultySet(difficulty):
                    self._difficulty = difficulty
                case JobReceived(job):
                    self._job = job, target_of(self._difficulty)
                case SubmitAnswered(submit_id, error):
                    block_hash = self.pending.pop(submit_id)
                    if error is None:
                        self._ledger.accepted.add(block_hash)
                    else:
                        self._ledger.rejected[block_hash] = error

    async def mine(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(self._rest_seconds)
            if self._job is None or self._extranonce is None:
                await asyncio.sleep(0.01)
                continue
            (job, target), (extranonce1, size) = self._job, self._extranonce
            self._extranonce2 = (self._extranonce2 + 1) % 256**size
            extranonce2 = self._extranonce2.to_bytes(size, "big")
            bits = int.from_bytes(os.urandom(4), "big") & self._mask
            version = rolled(job.version, self._mask, bits)
            root = merkle_root(job.coinbase1 + extranonce1 + extranonce2 + job.coinbase2, job.merkle_branch)
            for nonce in range(HASHES_A_SLICE):
                header = pack_header(
                    version=version,
                    prevhash=job.prevhash,
                    merkle_root=root,
                    ntime=job.ntime,
                    nbits=job.nbits,
                    nonce=nonce,
                )
                block_hash = sha256d(header)
                if hash_value(block_hash) <= target:
                    number = self.session.submit(
                        self._worker,
                        job.job_id,
                        extranonce2,
                        job.ntime,
                        nonce,
                        bits if self._mask else None,
                    )
                    self.pending[number] = display(block_hash)
                    writer.write(self.session.outgoing())


@contextlib.asynccontextmanager
async def ledger_miners(
    ports: list[int], ledger: Ledger, prefix: str = "ledger", *, rest_seconds: float = 0.0
) -> AsyncIterator[None]:
    """Runs one miner for each entry of ``ports``, named prefix.0, prefix.1 ...; every other one rolls versions.

    Each rests ``rest_seconds`` after every HASHES_A_SLICE hashes.
    """
    tasks = [
        asyncio.create_task(
            LedgerMiner(
                port, f"{prefix}.{index}", ledger, rolls_version=index % 2 == 0, rest_seconds=rest_seconds
            ).run()
        )
        for index, port in enumerate(ports)
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
