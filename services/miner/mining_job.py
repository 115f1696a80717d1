"""A job with all that it takes to mine it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.miner.chain import Chain
from services.stratum.difficulty import bits_to_target, target_of
from services.stratum.header import HEADER_BYTES
from services.stratum.reject import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.miner.connection import PoolConnection
    from services.stratum.job import Job


_ROLLED_BITS = 3


@dataclass(frozen=True, slots=True)
class MiningJob:
    """A pool's job, with what held when it came: extranonce1, extranonce2 size (bytes), share difficulty, and the
    version bits that may be rolled.
    """

    job: Job
    extranonce1: bytes
    extranonce2_size: int
    difficulty: float
    version_mask: int
    network_target: int
    connection: PoolConnection = field(repr=False, compare=False)

    @classmethod
    def of(cls, job: Job, connection: PoolConnection) -> MiningJob:
        """A job that came by that connection. Raises ProtocolError for nbits that stand for no target."""
        try:
            network_target = bits_to_target(job.nbits.to_bytes(4, "big"))
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        return cls(
            job,
            connection.extranonce1,
            connection.extranonce2_size,
            connection.difficulty,
            connection.version_mask,
            network_target,
            connection,
        )

    @property
    def height(self) -> int:
        """The block's height by BIP 34; 0 where the coinbase names none."""
        return self.job.height() or 0

    @property
    def submit_target(self) -> int:
        """A BTC hash at most this is for the pool: it meets the share difficulty, or is a block."""
        return max(target_of(self.difficulty), self.network_target)

    def targets(self, chains: Iterable[Chain] = tuple(Chain)) -> dict[Chain, int]:
        """What a pass over this job's headers looks for, on each of these chains."""
        return {
            chain: self.submit_target if chain is Chain.BTC else chain.target(self.network_target) for chain in chains
        }

    def versions(self) -> tuple[int, ...]:
        """Versions that a header of this job may have: its own, and up to seven with other bits under the mask."""
        free = [1 << bit for bit in range(32) if self.version_mask >> bit & 1][:_ROLLED_BITS]
        patterns = (
            sum(bit for number, bit in enumerate(free) if pattern >> number & 1) for pattern in range(1 << len(free))
        )
        return tuple(self.job.version ^ pattern for pattern in patterns)

    def as_wire_fields(self) -> dict[str, Any]:
        """The job as ``AsyncStratumClient.job_data`` shows it: hex as in mining.notify, the height as a number."""
        job_id, prevhash, coinbase1, coinbase2, branch, version, bits, ntime, _ = self.job.notify_params()
        return {
            "job_id": job_id,
            "prevhash": prevhash,
            "coinbase1": coinbase1,
            "coinbase2": coinbase2,
            "merkle_branch": branch,
            "version": version,
            "bits": bits,
            "time": ntime,
            "block_height": self.height,
        }


@dataclass(frozen=True, slots=True)
class Work:
    """A header of a job, whose nonce is still open, and which of these versions it has; the first is the job's."""

    mining_job: MiningJob
    extranonce2: bytes
    ntime: int
    versions: tuple[int, ...]

    @classmethod
    def first(cls, mining_job: MiningJob, extranonce2: bytes) -> Work:
        """With the job's own ntime, and all versions that it allows."""
        return cls(mining_job, extranonce2, mining_job.job.ntime, mining_job.versions())

    def header(self, nonce: int, version: int) -> bytes:
        """The 80 bytes to hash."""
        return self.mining_job.job.header(
            extranonce=self.mining_job.extranonce1 + self.extranonce2,
            version=version,
            ntime=self.ntime,
            nonce=nonce,
        )

    def prefix(self) -> bytes:
        """The header with its first version and without its nonce, 76 bytes."""
        return self.header(0, self.versions[0])[: HEADER_BYTES - 4]
