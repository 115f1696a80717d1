"""The pool's side of one Stratum connection: lines in, lines out, no sockets."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from services.stratum import message
from services.stratum.difficulty import bits_to_target, target_of
from services.stratum.framing import LineBuffer
from services.stratum.miner_request import (
    parse_authorize,
    parse_configure,
    parse_difficulty,
    parse_submit,
    parse_subscribe,
    parse_target,
)
from services.stratum.reject import (
    LOW_DIFFICULTY,
    MALFORMED,
    NOT_SUBSCRIBED,
    STALE,
    UNAUTHORIZED,
    UNKNOWN_JOB,
    UNSUPPORTED,
    StratumError,
)
from services.stratum.share import RebuiltShare, check_ranges, rebuild
from services.stratum.version import parse_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.demo.pool import DemoPool
    from services.demo.vardiff import Vardiff
    from services.stratum.extranonce import ExtranonceLayout
    from services.stratum.job import Job

MAX_LINE_BYTES = 16 * 1024
MAX_WORKERS = 32
# Older jobs on the same tip are still good, but nobody mines on one that was replaced this often.
MAX_JOBS = 32


@dataclass(frozen=True, slots=True)
class SentJob:
    """A job as one miner got it, and what held for it then."""

    job: Job
    difficulty: float
    layout: ExtranonceLayout


@dataclass(slots=True)
class Subscription:
    """What a subscribe made, and what a reconnecting miner gets back by its ``session_id``."""

    session_id: str
    layout: ExtranonceLayout
    vardiff: Vardiff
    jobs: dict[str, SentJob] = field(default_factory=dict)
    recent_job_ids: deque[str] = field(default_factory=deque)
    last_ntime: int = 0
    variants: int = 0


class MinerSession:
    """One connection's state; ``write`` takes bytes for the miner at once."""

    def __init__(self, pool: DemoPool, write: Callable[[bytes], None]) -> None:
        self._pool = pool
        self._write = write
        self._lines = LineBuffer(MAX_LINE_BYTES)
        self._workers: set[str] = set()
        self._version_mask = 0
        self._sent_difficulty: float | None = None
        self._suggested: float | None = None
        self._takes_extranonce = False
        self.subscription: Subscription | None = None

    def receive(self, data: bytes) -> None:
        """Handles the miner's bytes. Raises ProtocolError where they are no Stratum: the connection is to be closed."""
        for line in self._lines.feed(data):
            parsed = message.decode(line)
            if isinstance(parsed, message.Request):
                self._handle(parsed)

    def send_job(self, job: Job, line: bytes | None = None) -> None:
        """Announces a job at the current difficulty; ``line`` is its notify where that is encoded already."""
        subscription = self.subscription
        if subscription is None:
            return
        difficulty = subscription.vardiff.difficulty
        if difficulty != self._sent_difficulty:
            self._sent_difficulty = difficulty
            self._write(message.notification("mining.set_difficulty", [_plain_number(difficulty)]))
        subscription.last_ntime = job.ntime
        subscription.jobs[job.job_id] = SentJob(job, difficulty, subscription.layout)
        subscription.recent_job_ids.append(job.job_id)
        if len(subscription.recent_job_ids) > MAX_JOBS:
            subscription.jobs.pop(subscription.recent_job_ids.popleft(), None)
        self._write(line or message.notification("mining.notify", job.notify_params()))

    def change_extranonce(self, layout: ExtranonceLayout) -> None:
        """Another place in the coinbase, from the next job on, for a miner that has asked to be told of it."""
        if self.subscription is not None and self._takes_extranonce:
            self.subscription.layout = layout
            self._write(
                message.notification(
                    "mining.set_extranonce", [layout.miner_extranonce1.hex(), layout.miner_extranonce2_size]
                )
            )

    def change_difficulty(self, difficulty: float) -> None:
        """Another difficulty, from the next job on."""
        if self.subscription is not None:
            self.subscription.vardiff.difficulty = difficulty

    def adjust_difficulty(self, now_seconds: float) -> None:
        """Retargets by the shares so far; a change goes out with a job of its own."""
        subscription = self.subscription
        if subscription is None or self._pool.options.fixed_difficulty is not None:
            return
        if subscription.vardiff.retarget(now_seconds, self._pool.hardest_share):
            self._send_variant(subscription)

    def _send_first_job(self) -> None:
        if self.subscription is not None and self._pool.job.job_id in self.subscription.jobs:
            self._send_variant(self.subscription)
        else:
            self.send_job(self._pool.job)

    def _send_variant(self, subscription: Subscription) -> None:
        """The current job under a new id with a later ntime, so that a miner that starts over repeats no header."""
        subscription.variants += 1
        job = self._pool.job
        ntime = max(int(time.time()), job.ntime + 1, subscription.last_ntime + 1)
        job_id = f"{job.job_id}{subscription.variants:04x}"
        self.send_job(replace(job, job_id=job_id, ntime=ntime, clean_jobs=False))

    def _handle(self, request: message.Request) -> None:
        try:
            result = self._result(request)
        except StratumError as error:
            self._write(message.refusal_for(request.id, error))
            return
        self._write(message.answer(request.id, result))
        match request.method:
            case "mining.subscribe":
                self._send_first_job()
            case "mining.submit":
                self._pool.after_accepted(self)
            case "mining.suggest_difficulty" | "mining.suggest_target" | "mining.configure":
                self._apply_suggestion()

    def _result(self, request: message.Request) -> Any:
        match request.method:
            case "mining.submit":
                return self._submit(request.params)
            case "mining.subscribe":
                return self._subscribe(request.params)
            case "mining.authorize":
                return self._authorize(request.params)
            case "mining.configure":
                return self._configure(request.params)
            case "mining.suggest_difficulty":
                self._suggested = parse_difficulty(request.params)
                return True
            case "mining.suggest_target":
                self._suggested = parse_target(request.params)
                return True
            case "mining.extranonce.subscribe":
                self._takes_extranonce = True
                return True
            case "mining.multi_version":
                return True
            case "mining.get_transactions":
                return []
            case "mining.ping":
                return "pong"
        raise StratumError(UNSUPPORTED)

    def _subscribe(self, params: Any) -> Any:
        if self.subscription is None:
            self.subscription = self._pool.subscribe(parse_subscribe(params).session)
        session_id, layout = self.subscription.session_id, self.subscription.layout
        subscriptions = [["mining.set_difficulty", session_id], ["mining.notify", session_id]]
        return [subscriptions, layout.miner_extranonce1.hex(), layout.miner_extranonce2_size]

    def _authorize(self, params: Any) -> bool:
        worker = parse_authorize(params).worker
        if len(self._workers) >= MAX_WORKERS and worker not in self._workers:
            raise StratumError(UNAUTHORIZED, f"at most {MAX_WORKERS} workers on one connection")
        self._workers.add(worker)
        return True

    def _configure(self, params: Any) -> dict[str, Any]:
        configure = parse_configure(params)
        answer: dict[str, Any] = dict.fromkeys(configure.extensions, False)
        if "version-rolling" in answer and self._pool.options.version_mask:
            self._version_mask = self._pool.options.version_mask & parse_mask(
                configure.parameters.get("version-rolling.mask")
            )
            answer["version-rolling"] = True
            answer["version-rolling.mask"] = f"{self._version_mask:08x}"
        if "minimum-difficulty" in answer:
            self._suggested = parse_difficulty(configure.parameters.get("minimum-difficulty.value"))
            answer["minimum-difficulty"] = True
        if "subscribe-extranonce" in answer:
            self._takes_extranonce = True
            answer["subscribe-extranonce"] = True
        return answer

    def _apply_suggestion(self) -> None:
        suggested, subscription = self._suggested, self.subscription
        if suggested is None or subscription is None or self._pool.options.fixed_difficulty is not None:
            return
        self._suggested = None
        subscription.vardiff.start_at(suggested, time.monotonic(), self._pool.hardest_share)
        if subscription.vardiff.difficulty != self._sent_difficulty:
            self._send_variant(subscription)

    def _submit(self, params: Any) -> bool:
        subscription = self.subscription
        if subscription is None:
            raise StratumError(NOT_SUBSCRIBED)
        submit = parse_submit(params)
        if submit.worker not in self._workers:
            raise StratumError(UNAUTHORIZED)
        sent = subscription.jobs.get(submit.job_id)
        if sent is None:
            raise StratumError(UNKNOWN_JOB)
        if sent.job.prevhash != self._pool.job.prevhash:
            raise StratumError(STALE)
        share = rebuild(sent.job, sent.layout, submit, self._version_mask)
        check_ranges(sent.job, submit, self._version_mask, time.time())
        # A miner that has heard of a lower difficulty may use it on the job before, too.
        difficulty = min(sent.difficulty, subscription.vardiff.difficulty)
        self._accept(share, sent.job, sent.layout.full(submit.extranonce2), submit.worker, difficulty)
        subscription.vardiff.accepted(difficulty)
        return True

    def _accept(self, share: RebuiltShare, job: Job, extranonce: bytes, worker: str, difficulty: float) -> None:
        # A block is a block, also where the chain is easier than any share.
        if not share.meets(max(target_of(difficulty), bits_to_target(job.nbits.to_bytes(4, "big")))):
            raise StratumError(LOW_DIFFICULTY, f"{share.actual_difficulty:.3g} of {difficulty:.3g}")
        try:
            self._pool.accept(share, job, extranonce, worker, difficulty)
        except OSError as error:
            raise StratumError(MALFORMED, f"the pool could not record the share ({error.strerror or error})") from error


def _plain_number(difficulty: float) -> float:
    """Whole difficulties as integers: some firmware cannot read 8.0."""
    return int(difficulty) if difficulty >= 1 and difficulty == int(difficulty) else difficulty
