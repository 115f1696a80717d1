"""One share, rebuilt from what is stored: all that an outsider needs to check it by hand.

The coinbase is the job's two halves around the extranonces; hashed along the merkle branch it gives the merkle root;
with the header's other fields that makes the 80 bytes whose double SHA-256 is the share's hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.stratum.coinbase import Coinbase, CoinbaseError
from services.stratum.difficulty import actual_difficulty
from services.stratum.header import display, merkle_root, sha256d
from services.stratum.job import Job
from services.stratum.share import MAX_NTIME_AHEAD_SECONDS
from services.warehouse.mismatch import RELATIVE_TOLERANCE, Mismatch
from services.warehouse.records import NO_HEADER, JobRecord, Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.share_id import ShareId

SHARE_SQL: Final = """\
SELECT toUnixTimestamp64Milli(s.ts), s.proxy, s.pool_label, s.pool, s.miner, s.worker, s.verdict = 'accepted', s.reason,
    s.pool_difficulty, s.pool_requested_difficulty, s.actual_difficulty, hex(s.job), s.job_id, hex(s.extranonce1),
    hex(s.extranonce2), hex(s.header)
FROM shares AS s WHERE s.segment = {segment:UUID} AND s.seq = {seq:UInt64} LIMIT 1"""
"""Gives the row that `share_of` reads; parameters `segment` (as text) and `seq`."""

JOB_SQL: Final = """\
SELECT any(pool_label), any(pool), hex(any(prevhash)), hex(any(coinbase1)), hex(any(coinbase2)),
    arrayMap(sibling -> hex(sibling), any(merkle_branch)), any(version), any(nbits), any(ntime),
    toUnixTimestamp64Milli(min(first_sent))
FROM jobs WHERE job = toFixedString(unhex({job:String}), 16) GROUP BY job"""
"""Gives the row that `job_of` reads; parameter `job` (hex)."""


@dataclass(frozen=True, slots=True)
class ShareProof:
    """A share as it is stored, the job that it was made for (None where that is not stored), and what follows."""

    id: ShareId
    share: Share
    job: JobRecord | None

    @property
    def hash(self) -> bytes:
        """The header hashed twice, internal order; see `display` for the way people write it."""
        return sha256d(self.share.header)

    @property
    def block_hash(self) -> str:
        """The hash in display order; '' without a header."""
        return "" if self.share.header == NO_HEADER else display(self.hash)

    @property
    def actual_difficulty(self) -> float:
        """Recomputed from the header; 0 without one."""
        return 0.0 if self.share.header == NO_HEADER else actual_difficulty(self.hash)

    @property
    def coinbase(self) -> bytes:
        """The transaction without witness; empty where the job is not known."""
        if self.job is None:
            return b""
        return self.job.coinbase1 + self.share.extranonce1 + self.share.extranonce2 + self.job.coinbase2

    @property
    def transaction(self) -> Coinbase | None:
        """The coinbase taken apart; None where it is not known, or is no transaction."""
        try:
            return Coinbase.parse(self.coinbase)
        except CoinbaseError:
            return None

    @property
    def merkle_root(self) -> bytes:
        """What follows from coinbase and branch; empty where the job is not known."""
        return b"" if self.job is None else merkle_root(self.coinbase, self.job.merkle_branch)

    @property
    def header_version(self) -> int:
        return self._word(0)

    @property
    def header_prevhash(self) -> bytes:
        """Internal order, as `header_merkle_root`."""
        return self.share.header[4:36]

    @property
    def header_merkle_root(self) -> bytes:
        return self.share.header[36:68]

    @property
    def header_ntime(self) -> int:
        return self._word(68)

    @property
    def header_nbits(self) -> int:
        return self._word(72)

    @property
    def header_nonce(self) -> int:
        return self._word(76)

    def mismatches(self) -> tuple[Mismatch, ...]:
        """What does not fit, all but a header that was accepted twice; empty where the share is as it says."""
        share, job = self.share, self.job
        if share.header == NO_HEADER:
            return (Mismatch.NO_HEADER,) if share.accepted else ()
        found = []
        actual = self.actual_difficulty
        if abs(share.actual_difficulty - actual) > RELATIVE_TOLERANCE * actual:
            found.append(Mismatch.DIFFICULTY)
        if share.accepted and actual < share.pool_difficulty * (1 - RELATIVE_TOLERANCE):
            found.append(Mismatch.TARGET)
        if job is None:
            return (*found, Mismatch.JOB_UNKNOWN)
        latest = max(job.ntime, share.ts_ms / 1000) + MAX_NTIME_AHEAD_SECONDS
        wrong = {
            Mismatch.JOB_CONTENT: _key(job) != job.job,
            Mismatch.MERKLE_ROOT: self.merkle_root != self.header_merkle_root,
            Mismatch.PREVHASH: job.prevhash != self.header_prevhash,
            Mismatch.NBITS: job.nbits != self.header_nbits,
            Mismatch.NTIME: share.accepted and not job.ntime <= self.header_ntime <= latest,
        }
        return (*found, *(mismatch for mismatch, is_wrong in wrong.items() if is_wrong))

    def _word(self, start: int) -> int:
        return int.from_bytes(self.share.header[start : start + 4], "little")


def share_of(row: Sequence[Any]) -> Share:
    """The share in a row of SHARE_SQL."""
    (ts_ms, proxy, label, pool, miner, worker, accepted, reason, credited, requested, actual, *rest) = row
    job, job_id, extranonce1, extranonce2, header = rest
    return Share(
        ts_ms=ts_ms,
        proxy=proxy,
        pool_label=label,
        pool=pool,
        miner=miner,
        worker=worker,
        accepted=bool(accepted),
        reason=reason,
        pool_difficulty=credited,
        pool_requested_difficulty=requested,
        actual_difficulty=actual,
        job=bytes.fromhex(job),
        job_id=job_id,
        extranonce1=bytes.fromhex(extranonce1),
        extranonce2=bytes.fromhex(extranonce2),
        header=bytes.fromhex(header),
    )


def job_of(key: bytes, row: Sequence[Any]) -> JobRecord:
    """The job in a row of JOB_SQL."""
    label, pool, prevhash, coinbase1, coinbase2, branch, version, nbits, ntime, sent_ms = row
    return JobRecord(
        job=key,
        pool_label=label,
        pool=pool,
        prevhash=bytes.fromhex(prevhash),
        coinbase1=bytes.fromhex(coinbase1),
        coinbase2=bytes.fromhex(coinbase2),
        merkle_branch=tuple(bytes.fromhex(sibling) for sibling in branch),
        version=version,
        nbits=nbits,
        ntime=ntime,
        sent_ms=sent_ms,
    )


def _key(job: JobRecord) -> bytes:
    """The key that a job of this content has."""
    content = (job.prevhash, job.coinbase1, job.coinbase2, job.merkle_branch, job.version, job.nbits, job.ntime)
    return Job("", *content, clean_jobs=False).content_key()
