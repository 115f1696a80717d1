"""From verdicts to rows: each share's job is spooled before its first share."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import structlog

from services.stratum.header import display, sha256d
from services.warehouse.records import NO_HEADER, JobRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.unrecorded import UnrecordedShares
    from services.proxy.work import Work
    from services.warehouse.records import BlockCandidate, Share
    from services.warehouse.spool import Spool

log = structlog.get_logger()

JOBS_REMEMBERED: Final = 16_384


_root: Final = logging.getLogger()


class Recorder:
    """Appends to one process' spool segment. A job that fell out of memory is spooled again, which does no harm."""

    def __init__(self, spool: Spool, unrecorded: UnrecordedShares) -> None:
        self.unrecorded = unrecorded
        self._spool = spool
        self._jobs: dict[bytes, None] = {}

    def share(self, share: Share, work: Work | None, on_durable: Callable[[bool], None]) -> None:
        """Spools a share and, where need be, its job. ``on_durable`` as for Spool.append_share."""
        if work is not None and work.key not in self._jobs:
            self._job(work, share)
        self._spool.append_share(share, on_durable)
        # Asked first: a log line that nobody wants costs 3 microseconds, the question a twentieth of one.
        if _root.isEnabledFor(logging.DEBUG):
            _tell(share)

    def block_candidate(self, candidate: BlockCandidate, work: Work) -> None:
        """Spools a block candidate and, where need be, its job; also while the spool refuses shares."""
        if work.key not in self._jobs:
            self._job(work, candidate)
        self._spool.append_block_candidate(candidate)

    def _job(self, work: Work, seen_with: Share | BlockCandidate) -> None:
        self._jobs[work.key] = None
        if len(self._jobs) > JOBS_REMEMBERED:
            del self._jobs[next(iter(self._jobs))]
        job = work.job
        self._spool.append_job(
            JobRecord(
                job=work.key,
                pool_label=seen_with.pool_label,
                pool=seen_with.pool,
                prevhash=job.prevhash,
                coinbase1=job.coinbase1,
                coinbase2=job.coinbase2,
                merkle_branch=job.merkle_branch,
                version=job.version,
                nbits=job.nbits,
                ntime=job.ntime,
                sent_ms=seen_with.ts_ms - round(1000 * (time.monotonic() - work.received_seconds)),
            )
        )


def _tell(share: Share) -> None:
    log.debug(
        "verdict",
        worker=share.worker,
        miner=share.miner,
        pool_label=share.pool_label,
        pool=share.pool,
        accepted=share.accepted,
        reason=share.reason,
        difficulty=share.pool_difficulty,
        actual_difficulty=share.actual_difficulty,
        job_id=share.job_id,
        hash=display(sha256d(share.header)) if share.header != NO_HEADER else "",
    )
