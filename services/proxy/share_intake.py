"""A miner's shares: judged, forwarded, recorded and answered."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from services.proxy.block_candidate import CandidateKeeper
from services.proxy.conduct import is_rounded_down
from services.proxy.judgement import Judgement, judge, shows_work
from services.proxy.row_budget import RowBudget
from services.stratum.message import Response
from services.stratum.reject import (
    DUPLICATE,
    LOW_DIFFICULTY,
    NO_VERDICT,
    NOT_SUBSCRIBED,
    UNAUTHORIZED,
    UNKNOWN_JOB,
    UPSTREAM_GONE,
    StratumError,
    pool_reason,
)
from services.warehouse.records import NO_HEADER, NO_JOB, Share

if TYPE_CHECKING:
    from services.proxy.awaited_verdicts import Verdict
    from services.proxy.miner import Miner
    from services.proxy.miner_session import MalformedSubmit, SubmitAsked
    from services.proxy.reply_order import Reply
    from services.proxy.work import SentJob, Work
    from services.stratum.miner_request import Submit

_ACCEPTED: Final = Response(None, True, None)
# Of what was refused so, nobody said what it is worth: a miner may well try it again.
_UNJUDGED: Final = (NO_VERDICT.reason, UPSTREAM_GONE.reason)


class _Flight(NamedTuple):
    """A share on its way to the pool."""

    reply: Reply
    submit: Submit
    sent: SentJob
    judgement: Judgement
    ts_ms: int


class ShareIntake:
    """One miner's. ``accepted`` and ``rejected`` count verdicts; shares ``in_flight`` are not answered yet.

    ``credited`` is the sum of the accepted shares' credited difficulty, ``last_accepted_ms`` when the last one came,
    ``last_difficulty`` how hard it was, ``best_difficulty`` the hardest.
    """

    __slots__ = (
        "_miner",
        "_pool",
        "_strangers",
        "accepted",
        "best_difficulty",
        "credited",
        "in_flight",
        "last_accepted_ms",
        "last_difficulty",
        "rejected_by_reason",
    )

    def __init__(self, miner: Miner) -> None:
        self.accepted = 0
        self.credited = 0.0
        self.last_accepted_ms = 0
        self.last_difficulty = self.best_difficulty = 0.0
        self.rejected_by_reason: dict[str, int] = {}
        self.in_flight = 0
        self._strangers: RowBudget | None = None
        self._miner = miner
        self._pool = miner.pool

    @property
    def rejected(self) -> int:
        return sum(self.rejected_by_reason.values())

    def take(self, asked: SubmitAsked) -> None:
        """Decides on a share, or lets the pool decide."""
        miner, submit, reply = self._miner, asked.submit, asked.reply
        ts_ms = time.time_ns() // 1_000_000
        authorized = submit.worker in miner.workers
        sent = miner.jobs.get(submit.job_id)
        if not miner.is_subscribed or sent is None:
            reason = NOT_SUBSCRIBED if not miner.is_subscribed else UNKNOWN_JOB if authorized else UNAUTHORIZED
            self._refuse_unread(reply, StratumError(reason), submit.worker, submit.job_id, ts_ms)
            return
        # Another pool's difficulty says nothing about this share.
        same_pool = sent.work.upstream is miner.upstream
        try:
            judgement = judge(
                submit,
                sent,
                authorized=authorized,
                difficulty=miner.difficulty_told if same_pool else sent.difficulty,
                pool_difficulty=miner.pool_difficulty if same_pool else sent.pool_difficulty,
                version_mask=miner.mask.agreed,
                seen=self._pool.seen,
                now_seconds=ts_ms / 1000,
            )
        except StratumError as malformed:
            self._refuse_unread(reply, malformed, submit.worker, submit.job_id, ts_ms)
            return
        self._decide(_Flight(reply, submit, sent, judgement, ts_ms))
        if shows_work(judgement):
            miner.worked(judgement.credited)

    def _decide(self, flight: _Flight) -> None:
        judgement, reply = flight.judgement, flight.reply
        error, forward = judgement.error, judgement.forward
        candidate = self._candidate(flight) if judgement.block_candidate else None
        if error is None and not forward:
            self.in_flight += 1
            self._pool.metrics.shares_below_pool.inc()
            self._record(flight, "", partial(self._accepted, reply, _ACCEPTED))
            return
        if error is None or (forward and error.reject not in (DUPLICATE, UNAUTHORIZED)):
            self.in_flight += 1
            self._forward(flight, partial(self._verdict, flight, candidate))
            return
        # Credit is at stake, or the upstream is gone: our refusal stands. The pool gets a block all the same.
        if forward:
            self._forward(flight, candidate.decided if candidate is not None else _ignore_verdict)
        self.in_flight += 1
        self._refuse(flight, candidate, error.reason, partial(self._miner.session.refuse, reply, error))

    def refuse(self, asked: MalformedSubmit) -> None:
        """Refuses what could not be read."""
        error = asked.error if self._miner.is_subscribed else StratumError(NOT_SUBSCRIBED)
        self._refuse_unread(asked.reply, error, asked.worker, asked.job_id, time.time_ns() // 1_000_000)

    def _forward(self, flight: _Flight, on_verdict: Verdict) -> None:
        work, submit = flight.sent.work, flight.submit
        upstream = work.upstream
        # The pool rolls under its own mask, which may be wider than the miner's: it gets the version that was hashed.
        mask = upstream.version_mask | flight.sent.version_mask
        version = int.from_bytes(flight.judgement.rebuilt.header[:4], "little")
        upstream.submit(
            upstream.endpoint.user_for(self._paying_worker(submit.worker)),
            work.job.job_id,
            flight.sent.layout.pool_extranonce2(submit.extranonce2),
            submit.ntime,
            submit.nonce,
            version & mask if mask else None,
            on_verdict,
        )

    def _paying_worker(self, worker: str) -> str:
        workers = self._miner.workers
        return worker if worker in workers else next(iter(workers), worker)

    def _verdict(
        self,
        flight: _Flight,
        candidate: CandidateKeeper | None,
        response: Response | None,
        error: tuple[int, str] | None,
    ) -> None:
        session = self._miner.session
        if candidate is not None:
            candidate.decided(response, error)
        if response is None:
            self._refuse(flight, candidate, NO_VERDICT.reason, partial(session.refuse, flight.reply, NO_VERDICT))
        elif error is not None:
            self._refuse(flight, candidate, pool_reason(error[0]), partial(session.relay, flight.reply, response))
        else:
            # "Accepted" is told only once the share is on disk; where it cannot be, the pool's verdict still goes on.
            self._record(flight, "", partial(self._accepted, flight.reply, response))
        self._miner.wake()

    def _refuse(self, flight: _Flight, candidate: CandidateKeeper | None, reason: str, answer: partial[None]) -> None:
        """Records a refused share and answers it: at once, or, where it is a block candidate, when that is on disk."""
        if candidate is not None:
            # Spooled before its share, so on disk no later.
            self._record(flight, reason, partial(self._refused, answer))
            return
        self.in_flight -= 1
        self._record(flight, reason)
        answer()

    def _refused(self, answer: partial[None]) -> None:
        self.in_flight -= 1
        answer()
        self._miner.wake()

    def _accepted(self, reply: Reply, response: Response) -> None:
        self.in_flight -= 1
        self._miner.session.relay(reply, response)
        self._miner.wake()

    def _record(self, flight: _Flight, reason: str, then: partial[None] | None = None) -> None:
        self._count(reason, is_free=bool(reason) and self._is_free(flight, reason))
        if reason in _UNJUDGED:
            self._pool.seen.note_unjudged(flight.sent.work.job.prevhash, flight.judgement.rebuilt.hash)
        if not reason:
            self._pool.metrics.difficulty_accepted.inc(flight.judgement.credited)
            self.credited += flight.judgement.credited
            self.last_accepted_ms = flight.ts_ms
            self.last_difficulty = flight.judgement.rebuilt.actual_difficulty
            self.best_difficulty = max(self.best_difficulty, self.last_difficulty)
        share = self._share(flight, reason)
        self._keep(share, flight.sent.work, then)

    def _is_free(self, flight: _Flight, reason: str) -> bool:
        """Whether a refusal, whatever its price, is not the miner's fault."""
        judgement = flight.judgement
        if reason == DUPLICATE.reason:
            return self._pool.seen.is_unjudged(flight.sent.work.job.prevhash, judgement.rebuilt.hash)
        return reason == LOW_DIFFICULTY.reason and is_rounded_down(judgement)

    def _share(self, flight: _Flight, reason: str) -> Share:
        sent, judgement = flight.sent, flight.judgement
        layout, rebuilt = sent.layout, judgement.rebuilt
        return Share(
            ts_ms=flight.ts_ms,
            proxy=self._pool.proxy.name,
            pool_label=self._pool.name,
            pool=sent.work.upstream.endpoint.address,
            miner=self._miner.address,
            worker=self._credited_worker(flight.submit.worker),
            accepted=not reason,
            reason=reason,
            pool_difficulty=judgement.credited,
            pool_requested_difficulty=judgement.requested,
            actual_difficulty=rebuilt.actual_difficulty,
            job=sent.work.key,
            job_id=sent.job_id,
            extranonce1=layout.pool_extranonce1,
            extranonce2=layout.pool_extranonce2(flight.submit.extranonce2),
            header=rebuilt.header,
        )

    def _refuse_unread(self, reply: Reply, error: StratumError, worker: str, job_id: str, ts_ms: int) -> None:
        """Refuses and records a share of which no header is known."""
        self._count(error.reason)
        share = Share(
            ts_ms=ts_ms,
            proxy=self._pool.proxy.name,
            pool_label=self._pool.name,
            pool=self._miner.pool_address,
            miner=self._miner.address,
            worker=self._credited_worker(worker),
            accepted=False,
            reason=error.reason,
            pool_difficulty=self._miner.difficulty_told,
            pool_requested_difficulty=self._miner.pool_difficulty,
            actual_difficulty=0.0,
            job=NO_JOB,
            job_id=job_id,
            extranonce1=b"",
            extranonce2=b"",
            header=NO_HEADER,
        )
        self._keep(share, None, None)
        self._miner.session.refuse(reply, error)

    def _keep(self, share: Share, work: Work | None, then: partial[None] | None) -> None:
        """Spools a row; those of strangers only as far as their budget goes."""
        if not share.worker and not self._has_room_for_a_stranger():
            self._pool.metrics.strangers_unrecorded.inc()
            if then is not None:
                then()
            return
        self._pool.recorder.share(share, work, partial(self._recorded, share, then))

    def _has_room_for_a_stranger(self) -> bool:
        gate = self._pool.gate
        if self._strangers is None:
            self._strangers = RowBudget(self._pool.limits.unauthorized_rows)
        now = gate.clock()
        return self._strangers.take(now) and gate.strangers_rows.take(now)

    def _credited_worker(self, worker: str) -> str:
        """'' unless authorized here: a stranger can neither credit nor debit a worker."""
        return worker if worker in self._miner.workers else ""

    def _recorded(self, share: Share, then: partial[None] | None, durable: bool) -> None:
        if not durable:
            self._pool.metrics.unrecorded.inc()
            self._pool.recorder.unrecorded.note(share)
        if then is not None:
            then()

    def _count(self, reason: str, *, is_free: bool = False) -> None:
        conduct, now = self._miner.conduct, self._pool.gate.clock()
        if reason:
            self.rejected_by_reason[reason] = self.rejected_by_reason.get(reason, 0) + 1
            if not is_free:
                conduct.refused(reason, now)
        else:
            self.accepted += 1
            conduct.accepted(now)
        self._pool.metrics.share(reason)

    def _candidate(self, flight: _Flight) -> CandidateKeeper | None:
        """Keeps a block; None for one that was kept before."""
        error = flight.judgement.error
        if error is not None and error.reject is DUPLICATE:
            return None
        share = self._share(flight, error.reason if error is not None else "")
        block_hash = flight.judgement.rebuilt.hash
        return CandidateKeeper(self._pool, flight.sent.work, share, block_hash, forwarded=flight.judgement.forward)


def _ignore_verdict(response: Response | None, error: tuple[int, str] | None) -> None:
    """For a block whose share was refused already."""
