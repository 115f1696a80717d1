"""What one miner is given to work on, how hard, and when again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from services.proxy.difficulty_policy import UNTOLD_DIFFICULTY
from services.proxy.work import SentJob, SentJobs, Work, new_job_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.miner_session import MinerSession
    from services.proxy.negotiated_mask import NegotiatedMask
    from services.proxy.place import Place
    from services.proxy.pool import Pool

DIFFICULTY_PATIENCE_SECONDS: Final = 0.05
"""A pool's set_difficulty is nearly always followed by its notify; only without one is the current job sent again."""


class JobFeed:
    """``current`` is the last job sent. Nothing may be sent before the miner has subscribed."""

    __slots__ = (
        "_clock",
        "_mask",
        "_news_due",
        "_place",
        "_pool",
        "_session",
        "current",
        "difficulty",
        "jobs",
        "sent_at",
    )

    def __init__(
        self, pool: Pool, session: MinerSession, place: Place, mask: NegotiatedMask, clock: Callable[[], float]
    ) -> None:
        self.current: SentJob | None = None
        self.difficulty = pool.difficulty(clock())
        self.jobs = SentJobs(pool.limits.jobs_kept)
        self.sent_at = clock()
        self._pool = pool
        self._session = session
        self._place = place
        self._mask = mask
        self._clock = clock
        self._news_due = math.inf

    @property
    def is_live(self) -> bool:
        """Whether the current job's upstream takes shares."""
        return self.current is not None and self.current.work.upstream.is_alive

    @property
    def due(self) -> float:
        """When ``tick`` may have something to do, on the clock."""
        current = self.current
        if current is None:
            return math.inf
        due = self.sent_at + self._pool.proxy.silence_seconds
        if self._news_due < due:
            due = self._news_due
        return min(due, self.difficulty.due) if current.work.upstream.is_alive else due

    def tick(self, now: float) -> None:
        """Sends the current job again where that is due, or where the difficulty is another one by now."""
        self.difficulty.look(now)
        if self.difficulty.is_news or now >= min(self.sent_at + self._pool.proxy.silence_seconds, self._news_due):
            self.send_again()

    def send(self, work: Work, *, moved: bool) -> None:
        """A job from the pool. ``moved``: its extranonce space is another one than the last job's."""
        last = None if self.current is None else self.current.work
        goes_on = last is not None and last.upstream is work.upstream and last.clean_jobs == work.clean_jobs
        # What the miner still works on may belong to a space that is gone; then it is told to drop it.
        self._send(work, ntime=self._advanced_ntime(work), clean_jobs=moved or not goes_on)

    def send_again(self) -> None:
        """The current job under a new id, ntime advanced by the time passed: at least 1 s, so no header repeats."""
        current = self.current
        assert current is not None
        ntime = max(self._advanced_ntime(current.work), current.ntime + 1)
        self._send(current.work, ntime=min(ntime, 0xFFFFFFFF), clean_jobs=False)

    def worked(self, credited: float) -> None:
        """The miner has found a share that was good enough when its job was sent: the pace may be wrong now."""
        if self.difficulty.worked(credited, self._clock()) and self.is_live:
            self.send_again()

    def follow_difficulty(self) -> None:
        """Tells the miner what it asked for, at once."""
        if self.difficulty.is_news:
            if self.current is None:
                self._tell_difficulty()
            else:
                self.send_again()

    def follow_pool_difficulty(self) -> bool:
        """The pool's news are told with the pool's next job, unless that stays away; True where a ``tick`` is due."""
        if not self.difficulty.is_news or self._news_due < math.inf:
            return False
        if self.current is None:
            self._tell_difficulty()
            return False
        self._news_due = self._clock() + DIFFICULTY_PATIENCE_SECONDS
        return True

    def _advanced_ntime(self, work: Work) -> int:
        """The job's, with the time that passed since it came from the pool."""
        passed, ntime = int(self._clock() - work.received_seconds), work.job.ntime
        # Nearly always none has: then all miners share one number.
        return min(ntime + passed, 0xFFFFFFFF) if passed else ntime

    def _tell_difficulty(self) -> None:
        if (difficulty := self.difficulty.change()) is not None:
            self._session.set_difficulty(difficulty)

    def _send(self, work: Work, *, ntime: int, clean_jobs: bool) -> None:
        difficulty, now = self.difficulty, self._clock()
        if difficulty.pool is None:
            difficulty.pool = UNTOLD_DIFFICULTY
        if self.current is None:
            difficulty.begin(now)
        if (change := difficulty.change()) is not None:
            self._session.set_difficulty(change)
        layout = self._place.layout
        assert layout is not None and difficulty.told is not None
        sent = SentJob(new_job_id(), work, layout, ntime, difficulty.told, difficulty.pool, self._mask.agreed)
        self.jobs.add(sent, now)
        self.current, self.sent_at, self._news_due = sent, now, math.inf
        self._session.notify(sent.notify(clean_jobs=clean_jobs))
