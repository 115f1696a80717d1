"""The pool itself: one chain, one current job, all connected miners."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import structlog

from services.demo.accepted_log import AcceptedLog
from services.demo.chain import SolvedBlock, SyntheticChain
from services.demo.session import MinerSession, Subscription
from services.demo.vardiff import Vardiff, WorkRate
from services.stratum import message
from services.stratum.difficulty import bits_to_target, difficulty_of
from services.stratum.extranonce import handed_through
from services.stratum.header import display
from services.stratum.reject import DUPLICATE, StratumError
from services.stratum.seen import SeenHeaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.demo.chain import Chain
    from services.demo.options import DemoPoolOptions
    from services.stratum.extranonce import ExtranonceLayout
    from services.stratum.job import Job
    from services.stratum.share import RebuiltShare

log = structlog.get_logger()

EXTRANONCE1_BYTES = 4
SHARES_PER_BLOCK = 16
"""A block is at least this many times as hard as any miner's share."""

_PARKED_SECONDS = 120.0
_MAX_PARKED = 10_000
# Between two changes of the network difficulty alone: a cold start with a fast miner needs several.
_LEAST_RETARGET_SECONDS = 1.0
_TOO_EASY = 4.0


class DemoPool:
    """Validates shares, records the accepted ones, grows the chain by those that are blocks."""

    def __init__(self, options: DemoPoolOptions, chain: Chain | None = None) -> None:
        """Opens the data folder, and the synthetic chain in it unless there is another; raises OSError or
        ChainStateError.
        """
        self.options = options
        options.data.mkdir(parents=True, exist_ok=True)
        self._chain: Chain = chain or SyntheticChain(options.data / "chain.json")
        self._accepted = AcceptedLog(options.data / "accepted.log")
        self._rate = WorkRate(self._chain.state.work_per_second, time.monotonic())
        self._seen = SeenHeaders()
        self._sessions: set[MinerSession] = set()
        self._parked: dict[str, tuple[float, Subscription]] = {}
        self._next_extranonce1 = secrets.randbits(8 * EXTRANONCE1_BYTES)
        self._block_found: SolvedBlock | None = None
        self.job = self._new_job(clean_jobs=True)

    @property
    def height(self) -> int:
        """Of the tip; the current job is for the next one."""
        return self._chain.state.height

    @property
    def network_difficulty(self) -> float:
        """Of the current job."""
        return difficulty_of(bits_to_target(self.job.nbits.to_bytes(4, "big")))

    @property
    def hardest_share(self) -> float:
        """The highest difficulty that a miner may get."""
        return self.network_difficulty / SHARES_PER_BLOCK

    @property
    def connections(self) -> int:
        return len(self._sessions)

    def connect(self, write: Callable[[bytes], None]) -> MinerSession:
        """A new connection's session; to be handed to :meth:`disconnect` at its end."""
        session = MinerSession(self, write)
        self._sessions.add(session)
        return session

    def disconnect(self, session: MinerSession) -> None:
        """Ends a session; its subscription can be resumed for a while."""
        self._sessions.discard(session)
        if session.subscription is not None:
            if len(self._parked) >= _MAX_PARKED:
                del self._parked[next(iter(self._parked))]
            self._parked[session.subscription.session_id] = (time.monotonic(), session.subscription)

    def subscribe(self, session_id: str) -> Subscription:
        """A new subscription, or the one of a miner that comes back."""
        parked = self._parked.pop(session_id, None)
        if parked is not None:
            return parked[1]
        options = self.options
        difficulty = options.fixed_difficulty or min(options.start_difficulty, self.hardest_share)
        return Subscription(
            session_id=secrets.token_hex(8),
            layout=self._new_layout(),
            vardiff=Vardiff(difficulty, options.minimum_difficulty, time.monotonic()),
        )

    def accept(self, share: RebuiltShare, job: Job, extranonce: bytes, worker: str, difficulty: float) -> None:
        """Records a share that met its difficulty. Raises StratumError(DUPLICATE), or OSError: not recorded."""
        if not self._seen.add(job.prevhash, share.hash):
            raise StratumError(DUPLICATE)
        self._accepted.append(share.hash, worker, difficulty, time.time())
        self._rate.add(difficulty, time.monotonic())
        if share.meets(bits_to_target(job.nbits.to_bytes(4, "big"))):
            coinbase = job.coinbase1 + extranonce + job.coinbase2
            self._block_found = SolvedBlock(job, coinbase, share.header, share.hash)
            log.info("block_found", height=self.height + 1, hash=display(share.hash), worker=worker)

    def after_accepted(self, session: MinerSession) -> None:
        """What follows once a share's answer is on its way: a new block, an adjusted difficulty."""
        now = time.monotonic()
        if self._block_found is not None:
            block, self._block_found = self._block_found, None
            try:
                is_tip = self._chain.append(block, self._rate.per_second(now))
            except OSError as error:
                log.error("block_not_recorded", error=str(error))
            else:
                if is_tip:
                    self.announce(clean_jobs=True)
        elif now - self._announced >= _LEAST_RETARGET_SECONDS and self._too_easy(now):
            self.announce(clean_jobs=False)
        session.adjust_difficulty(now)

    def tick(self) -> None:
        """To be called every few seconds: refreshes the job, looks after miners that find no share."""
        now = time.monotonic()
        if now - self._announced >= self.options.refresh_seconds:
            self.announce(clean_jobs=False)
        for session in tuple(self._sessions):
            session.adjust_difficulty(now)
        for session_id in [key for key, (since, _) in self._parked.items() if now - since > _PARKED_SECONDS]:
            del self._parked[session_id]

    def close(self) -> None:
        """Closes the files; raises OSError where the share rate could not be kept for the next start."""
        self._accepted.close()
        self._chain.remember_rate(self._rate.per_second(time.monotonic()))

    def change_extranonces(self) -> None:
        """Moves every miner that can be told to another place, as pools do that share out work anew."""
        for session in tuple(self._sessions):
            session.change_extranonce(self._new_layout())
        self.announce(clean_jobs=False)

    def change_difficulty(self, difficulty: float) -> None:
        """Makes every miner's shares as hard as that, until vardiff has another opinion."""
        for session in tuple(self._sessions):
            session.change_difficulty(difficulty)
        self.announce(clean_jobs=False)

    def announce(self, *, clean_jobs: bool) -> None:
        """A new job for everybody."""
        self.job = self._new_job(clean_jobs=clean_jobs)
        line = message.notification("mining.notify", self.job.notify_params())
        for session in tuple(self._sessions):
            session.send_job(self.job, line)

    def _new_layout(self) -> ExtranonceLayout:
        number = self._next_extranonce1 = (self._next_extranonce1 + 1) % (1 << 8 * EXTRANONCE1_BYTES)
        return handed_through(number.to_bytes(EXTRANONCE1_BYTES, "big"), self.options.extranonce2_size)

    def _new_job(self, *, clean_jobs: bool) -> Job:
        self._announced = time.monotonic()
        return self._chain.template(
            network_difficulty=self._wanted_network_difficulty(),
            merkle_branches=self.options.merkle_branches,
            extranonce_bytes=EXTRANONCE1_BYTES + self.options.extranonce2_size,
            clean_jobs=clean_jobs,
        )

    def _too_easy(self, now_seconds: float) -> bool:
        wanted = self._rate.per_second(now_seconds) * self.options.block_seconds
        is_fixed = self.options.network_difficulty is not None or not self._chain.sets_difficulty
        return not is_fixed and wanted > _TOO_EASY * self.network_difficulty

    def _wanted_network_difficulty(self) -> float:
        options = self.options
        if options.network_difficulty is not None:
            return options.network_difficulty
        shares = [session.subscription.vardiff.difficulty for session in self._sessions if session.subscription]
        hardest = max(shares, default=options.fixed_difficulty or options.start_difficulty)
        return max(self._rate.per_second(time.monotonic()) * options.block_seconds, hardest * SHARES_PER_BLOCK)
