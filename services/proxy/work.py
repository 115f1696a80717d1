"""Jobs on their way through the proxy: what the pool sent, and what was made of it for one miner."""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from secrets import randbits
from typing import TYPE_CHECKING, Final, NamedTuple

from services.stratum.difficulty import bits_to_target

if TYPE_CHECKING:
    from services.proxy.upstream import Upstream
    from services.stratum.extranonce import ExtranonceLayout
    from services.stratum.job import Job

KEPT_SECONDS: Final = 300.0
MOST_KEPT: Final = 4
"""So many times the jobs that are kept in any case."""
_TARGETS_KEPT = 16

# One count for all connections, so that an id from before a reconnect is unknown, never another job's.
_job_numbers = count(randbits(24))


class Work(NamedTuple):
    """A job as its pool sent it, and the connection that it came by. ``received_seconds`` is monotonic.

    ``extranonce`` is the pool's extranonce1 and the size of its extranonce2; ``clean_jobs`` counts the upstream's jobs
    that made miners drop what they had.
    """

    job: Job
    upstream: Upstream
    extranonce: tuple[bytes, int]
    clean_jobs: int
    received_seconds: float

    @property
    def key(self) -> bytes:
        """Names the job's content."""
        return self.job.content_key()

    @property
    def network_target(self) -> int:
        """What a block's hash must not exceed; 0 where the pool sent nonsense: no share meets it."""
        return _target_or_zero(self.job.nbits)


class SentJob(NamedTuple):
    """A job as one miner got it, with all that a share for it is judged by.

    ``difficulty`` is what the miner had been told, ``pool_difficulty`` what the pool wanted, when it was sent.
    """

    job_id: str
    work: Work
    layout: ExtranonceLayout
    ntime: int
    difficulty: float
    pool_difficulty: float
    version_mask: int

    def notify(self, *, clean_jobs: bool) -> bytes:
        """The mining.notify line that the miner is sent."""
        return self.work.job.notify_line(self.job_id, self.layout.coinbase1_tail, self.ntime, clean_jobs=clean_jobs)


class SentJobs:
    """The last jobs that one miner was sent, by the id that it knows them by.

    ``kept`` of them at least; more, up to a multiple, where a pool sends them so fast that the oldest may still bring a
    share that counts: its block is the current one, and it came less than ``KEPT_SECONDS`` ago.
    """

    __slots__ = ("_jobs", "_kept")

    def __init__(self, kept: int) -> None:
        self._kept = kept
        # A list, for most shares are for the newest: a dict of so few would take twice the memory.
        self._jobs: list[SentJob] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, sent: SentJob, now: float) -> None:
        """Keeps a job; beyond the bounds the oldest go. ``now`` is monotonic seconds."""
        jobs = self._jobs
        jobs.append(sent)
        while len(jobs) > self._kept:
            if len(jobs) <= MOST_KEPT * self._kept and _may_count(jobs[0].work, now):
                return
            del jobs[0]

    def get(self, job_id: str) -> SentJob | None:
        for sent in reversed(self._jobs):
            if sent.job_id == job_id:
                return sent
        return None


def _may_count(work: Work, now: float) -> bool:
    return now - work.received_seconds < KEPT_SECONDS and work.job.prevhash == work.upstream.current_prevhash


def new_job_id() -> str:
    """An id that no miner of this process was given before."""
    return f"{next(_job_numbers):x}"


@lru_cache(maxsize=_TARGETS_KEPT)
def _target_or_zero(nbits: int) -> int:
    try:
        return bits_to_target(nbits.to_bytes(4, "big"))
    except ValueError:
        return 0
