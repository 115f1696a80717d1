"""From a submit back to the header that the miner hashed, and the checks on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from services.stratum.difficulty import actual_difficulty, hash_value
from services.stratum.header import sha256d
from services.stratum.reject import MALFORMED, NTIME_OUT_OF_RANGE, VERSION_BITS, StratumError
from services.stratum.version import rolled

if TYPE_CHECKING:
    from services.stratum.extranonce import ExtranonceLayout
    from services.stratum.job import Job
    from services.stratum.miner_request import Submit

MAX_NTIME_AHEAD_SECONDS = 7200


class RebuiltShare(NamedTuple):
    """A submit's header (80 bytes), its hash (internal order) and what the hash is worth."""

    header: bytes
    hash: bytes
    actual_difficulty: float

    def meets(self, target: int) -> bool:
        """Whether the hash is at most ``target``."""
        return hash_value(self.hash) <= target


def rebuild(job: Job, layout: ExtranonceLayout, submit: Submit, version_mask: int) -> RebuiltShare:
    """The share as the pool will see it. ``job`` is the pool's own; ``version_mask`` is 0 where none was negotiated.

    Without version bits in the submit the header has the job's version, whatever was negotiated.
    Raises StratumError(MALFORMED) where extranonce2 has not the miner's length: no header follows from that. Whether
    ntime and version are allowed is :func:`check_ranges`' question: a block is a block all the same.
    """
    if len(submit.extranonce2) != layout.miner_extranonce2_size:
        raise StratumError(MALFORMED, f"extranonce2 is not {layout.miner_extranonce2_size} bytes")
    bits = submit.version_bits
    header = job.header(
        extranonce=layout.full(submit.extranonce2),
        version=job.version if bits is None or not version_mask else rolled(job.version, version_mask, bits),
        ntime=submit.ntime,
        nonce=submit.nonce,
    )
    block_hash = sha256d(header)
    return RebuiltShare(header, block_hash, actual_difficulty(block_hash))


def check_ranges(job: Job, submit: Submit, version_mask: int, now_seconds: float) -> None:
    """Raises StratumError for an ntime before the job's or over 2 h ahead, and for version bits outside the mask."""
    if (submit.version_bits or 0) & ~version_mask:
        raise StratumError(VERSION_BITS)
    if not job.ntime <= submit.ntime <= max(job.ntime, now_seconds) + MAX_NTIME_AHEAD_SECONDS:
        raise StratumError(NTIME_OUT_OF_RANGE)
