"""A share that met its job's network target: told in the log, counted, and kept for good, with the pool's verdict."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from services.stratum.difficulty import difficulty_of
from services.stratum.header import display
from services.stratum.reject import NO_VERDICT, pool_reason
from services.warehouse.records import BlockCandidate

if TYPE_CHECKING:
    from services.proxy.pool import Pool
    from services.proxy.work import Work
    from services.stratum.message import Response
    from services.warehouse.records import Share

log = structlog.get_logger()

ACCEPTED: Final = "accepted"


class CandidateKeeper:
    """Keeps one candidate: at once, and again when the pool has decided. ``share`` is as it would be recorded."""

    __slots__ = ("_candidate", "_pool", "_work")

    def __init__(self, pool: Pool, work: Work, share: Share, block_hash: bytes, *, forwarded: bool) -> None:
        self._pool = pool
        self._work = work
        self._candidate = BlockCandidate(
            ts_ms=share.ts_ms,
            updated_ms=share.ts_ms,
            proxy=share.proxy,
            pool_label=share.pool_label,
            pool=share.pool,
            miner=share.miner,
            worker=share.worker,
            height=work.job.height() or 0,
            actual_difficulty=share.actual_difficulty,
            network_difficulty=difficulty_of(work.network_target),
            forwarded=forwarded,
            refusal=share.reason,
            pool_verdict="",
            job=share.job,
            job_id=share.job_id,
            extranonce1=share.extranonce1,
            extranonce2=share.extranonce2,
            header=share.header,
        )
        pool.metrics.block_candidates.inc()
        log.warning(
            "block_candidate",
            pool_label=share.pool_label,
            pool=share.pool,
            miner=share.miner,
            worker=share.worker,
            hash=display(block_hash),
            header=share.header.hex(),
            height=self._candidate.height,
            forwarded=forwarded,
            refused=share.reason,
        )
        self._keep()

    def decided(self, response: Response | None, error: tuple[int, str] | None) -> None:
        """The pool's verdict, as Upstream.submit gives it."""
        verdict = ACCEPTED if response is not None and error is None else NO_VERDICT.reason
        if error is not None:
            verdict = pool_reason(error[0])
        # Never the same millisecond as the first row's: the later one counts.
        updated_ms = max(time.time_ns() // 1_000_000, self._candidate.ts_ms + 1)
        self._candidate = replace(self._candidate, updated_ms=updated_ms, pool_verdict=verdict)
        self._pool.metrics.block_verdict(verdict)
        log.warning(
            "block_verdict",
            pool_label=self._candidate.pool_label,
            pool=self._candidate.pool,
            header=self._candidate.header.hex(),
            verdict=verdict,
        )
        self._keep()

    def _keep(self) -> None:
        self._pool.recorder.block_candidate(self._candidate, self._work)
