"""A job with all that it takes to mine it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.miner.chain import Chain
from services.stratum.difficulty import bits_to_target, target_of
from services.stratum.header import HEADER_BYTES
from services.stratum.reject import ProtocolError

if TYPE_CHECKING:
    from services.miner.connection import PoolConnection
    from services.stratum.job import Job


@dataclass(frozen=True, slots=True)
class MiningJob:
    """A pool's job, with the extranonce1, extranonce2 size (bytes) and share difficulty that held when it came."""

    job: Job
    extranonce1: bytes
    extranonce2_size: int
    difficulty: float
    network_target: int
    connection: PoolConnection = field(repr=False, compare=False)

    @classmethod
    def of(
        cls, job: Job, extranonce1: bytes, extranonce2_size: int, difficulty: float, by: PoolConnection
    ) -> MiningJob:
        """Raises ProtocolError for nbits that stand for no target."""
        try:
            network_target = bits_to_target(job.nbits.to_bytes(4, "big"))
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        return cls(job, extranonce1, extranonce2_size, difficulty, network_target, by)

    @property
    def height(self) -> int:
        """The block's height by BIP 34; 0 where the coinbase names none."""
        return self.job.height() or 0

    @property
    def submit_target(self) -> int:
        """A BTC hash at most this is for the pool: it meets the share difficulty, or is a block."""
        return max(target_of(self.difficulty), self.network_target)

    def targets(self) -> dict[Chain, int]:
        """What a pass over this job's headers looks for, on each chain."""
        targets = {chain: chain.target(self.network_target) for chain in Chain}
        targets[Chain.BTC] = self.submit_target
        return targets

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
    """One header of a job, whose nonce is still open."""

    mining_job: MiningJob
    extranonce2: bytes
    ntime: int
    version: int

    @classmethod
    def first(cls, mining_job: MiningJob, extranonce2: bytes) -> Work:
        """The job's own ntime and version."""
        return cls(mining_job, extranonce2, mining_job.job.ntime, mining_job.job.version)

    def header(self, nonce: int) -> bytes:
        """The 80 bytes to hash."""
        return self.mining_job.job.header(
            extranonce=self.mining_job.extranonce1 + self.extranonce2,
            version=self.version,
            ntime=self.ntime,
            nonce=nonce,
        )

    def prefix(self) -> bytes:
        """The header without its nonce, 76 bytes."""
        return self.header(0)[: HEADER_BYTES - 4]
