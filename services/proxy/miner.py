"""One miner with a pool connection of its own (dedicated mode): what it was told, and what follows from what it says.

No sockets and no timers here: bytes come by ``receive``, time by ``tick``, the pool by the UpstreamListener methods;
what is to be sent gathers in ``session``, and ``wake`` asks for it to be fetched.
"""

from __future__ import annotations

import math
from itertools import islice
from secrets import token_hex
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.difficulty_policy import UNTOLD_DIFFICULTY, DedicatedDifficulty
from services.proxy.extensions import negotiate
from services.proxy.miner_session import (
    AuthorizeAsked,
    ConfigureAsked,
    DifficultySuggested,
    Event,
    ExtranonceSubscribed,
    Junk,
    MalformedSubmit,
    MinerSession,
    SubmitAsked,
    SubscribeAsked,
)
from services.proxy.negotiated_mask import NegotiatedMask
from services.proxy.pacing import MESSAGES_A_TURN
from services.proxy.share_intake import ShareIntake
from services.proxy.work import SentJob, SentJobs, Work, new_job_id
from services.stratum.extranonce import ExtranonceLayout, fresh, kept
from services.stratum.framing import LineTooLongError
from services.stratum.password import parse_password
from services.stratum.reject import UNAUTHORIZED, StratumError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.conduct import Conduct
    from services.proxy.dialer import Dialer
    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.pool import Pool
    from services.proxy.reply_order import Reply
    from services.proxy.upstream import Upstream
    from services.proxy.upstream_listener import Loss

log = structlog.get_logger()

DIFFICULTY_PATIENCE_SECONDS: Final = 0.05
"""A pool's set_difficulty is nearly always followed by its notify; only without one is the current job sent again."""
RECONNECT_GRACE_SECONDS: Final = 5.0


class Miner:
    """``clock`` is monotonic, in seconds; ``close`` ends the connection once what is queued has been sent."""

    def __init__(
        self,
        pool: Pool,
        address: str,
        *,
        conduct: Conduct,
        clock: Callable[[], float],
        wake: Callable[[], None],
        close: Callable[[str], None],
    ) -> None:
        self.pool = pool
        self.address = address
        self.wake = wake
        self.session = MinerSession(pool.limits.line_bytes)
        self.jobs = SentJobs(pool.limits.jobs_kept)
        self.workers: dict[str, None] = {}
        self.conduct = conduct
        self.user_agent = ""
        self.is_subscribed = False
        self.mask = NegotiatedMask()
        self.shares = ShareIntake(self)
        self.dialer: Dialer | None = None
        self._clock = clock
        self._close = close
        self._difficulty = DedicatedDifficulty()
        self._layout: ExtranonceLayout | None = None
        self._layout_source: tuple[int, tuple[bytes, int]] = (0, (b"", 0))
        self._session_id = token_hex(8)
        self._waiting: list[Callable[[Upstream], None]] = []
        self._current: SentJob | None = None
        self._suggested: float | None = None
        self._takes_extranonce = self._spoke_stratum = self._asked_subscribe = False
        self._junk_lines = 0
        self._handshake_began = self._heard_at = self._notified_at = clock()
        self._difficulty_due: float | None = None
        self._leave_at: float | None = None

    @property
    def difficulty_told(self) -> float:
        """What the miner was told last; 0 before that."""
        return self._difficulty.told or 0.0

    @property
    def pool_difficulty(self) -> float:
        """What the pool wanted with the current job; 0 before the first."""
        return self._current.pool_difficulty if self._current is not None else 0.0

    @property
    def upstream(self) -> Upstream | None:
        """The connection that the current job came by, dead or alive; None before the first job."""
        return self._current.work.upstream if self._current is not None else None

    @property
    def pool_address(self) -> str:
        """ "host:port" that the current job came from, or, before the first, that one is expected from."""
        upstream = self.upstream
        return (upstream.endpoint if upstream is not None else self.pool.route.endpoint).address

    def receive(self, data: bytes) -> int:
        """Takes what the miner sent, as many messages as a turn may have; gives their number. The rest waits inside."""
        self._heard_at = self._clock()
        taken = 0
        try:
            for taken, event in enumerate(islice(self.session.receive(data), MESSAGES_A_TURN), 1):  # noqa: B007
                self._handle(event)
        except LineTooLongError as error:
            self.session.farewell(str(error))
            self._close("line too long")
        return taken

    def tick(self) -> None:
        """Does what is due."""
        now, limits = self._clock(), self.pool.limits
        if now >= self._handshake_due:
            self.session.farewell("no mining.subscribe came")
            self._close("handshake timeout")
        elif now >= self._heard_at + limits.idle_seconds:
            self.session.farewell("idle for too long")
            self._close("idle")
        elif self._leave_at is not None:
            if now >= self._leave_at:
                self._close("extranonce does not fit")
        elif now >= self._job_due:
            self._send_again()

    @property
    def next_due(self) -> float:
        """When ``tick`` should be called next, on the clock."""
        due = min(self._heard_at + self.pool.limits.idle_seconds, self._handshake_due)
        if self._leave_at is not None:
            return min(due, self._leave_at)
        return min(due, self._job_due)

    @property
    def _handshake_due(self) -> float:
        """When the miner must have subscribed; while it waits for our answer the time is ours."""
        if self._asked_subscribe or self._waiting:
            return math.inf
        return self._handshake_began + self.pool.limits.handshake_seconds

    @property
    def _job_due(self) -> float:
        if self._current is None:
            return math.inf
        return min(self._notified_at + self.pool.proxy.silence_seconds, self._difficulty_due or math.inf)

    # UpstreamListener

    def upstream_ready(self, upstream: Upstream) -> None:
        self.mask.follow(upstream.version_mask)
        self._difficulty.pool = upstream.difficulty
        if self._suggested is not None:
            upstream.suggest_difficulty(self._suggested)
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer(upstream)
            self._handshake_began = self._clock()
        self._tell_mask()
        self._start_work(upstream)
        self.wake()

    def upstream_changed(self, upstream: Upstream) -> None:
        self.mask.follow(upstream.version_mask)
        self._tell_mask()
        if upstream.difficulty is not None:
            self._difficulty.pool = upstream.difficulty
        if self.is_subscribed and self._difficulty.wanted != self._difficulty.told:
            if self._current is None:
                self._tell_difficulty()
            elif self._difficulty_due is None:
                self._difficulty_due = self._clock() + DIFFICULTY_PATIENCE_SECONDS
        self.wake()

    def job_received(self, work: Work) -> None:
        if not self.is_subscribed or self._leave_at is not None:
            return
        upstream = work.upstream
        new_space = self._layout_source != (upstream.number, upstream.extranonce)
        if new_space and not self._adopt_extranonce(upstream):
            return
        # What the miner still works on belongs to a space that is gone, so it is told to drop it.
        ntime = self._advanced_ntime(work)
        self._send(work, ntime=ntime, clean_jobs=work.job.clean_jobs or new_space or self._current is None)
        self.wake()

    def users(self, endpoint: PoolEndpoint) -> list[str]:
        return endpoint.users_for(self.workers)

    def upstream_lost(self, upstream: Upstream, loss: Loss) -> None:
        """The miner stays, with the job that it has, until there is another upstream."""

    # What the miner says

    def _handle(self, event: Event) -> None:
        match event:
            case SubmitAsked():
                self.shares.take(event)
            case MalformedSubmit():
                self.shares.refuse(event)
            case SubscribeAsked():
                self._subscribe(event)
            case AuthorizeAsked():
                self._authorize(event)
            case ConfigureAsked():
                self._configure(event)
            case DifficultySuggested(difficulty):
                self._suggest(difficulty)
            case ExtranonceSubscribed():
                self._takes_extranonce = True
            case Junk(why):
                self._junk(why)

    def _dial(self) -> Upstream | None:
        self._spoke_stratum = True
        if self.dialer is None:
            return None
        self.dialer.start()
        return self.dialer.upstream

    def _subscribe(self, asked: SubscribeAsked) -> None:
        self._asked_subscribe = True
        if not self.user_agent:
            self.user_agent = asked.subscribe.user_agent
        upstream = self._dial()
        if self._layout is None and upstream is None:
            self._waiting.append(lambda ready: self._answer_subscribe(asked.reply, ready))
            return
        self._answer_subscribe(asked.reply, upstream)
        if upstream is not None:
            self._start_work(upstream)

    def _answer_subscribe(self, reply: Reply, upstream: Upstream | None) -> None:
        if self._layout is None:
            assert upstream is not None
            self._begin_layout(upstream)
        assert self._layout is not None
        layout, session_id = self._layout, self._session_id
        subscriptions = [["mining.set_difficulty", session_id + "1"], ["mining.notify", session_id + "2"]]
        self.session.answer(reply, [subscriptions, layout.miner_extranonce1.hex(), layout.miner_extranonce2_size])
        self.is_subscribed = True

    def _authorize(self, asked: AuthorizeAsked) -> None:
        upstream = self._dial()
        worker = asked.authorize.worker
        if worker not in self.workers and (why := self.pool.gate.worker_refusal(worker, self)):
            self.session.refuse(asked.reply, StratumError(UNAUTHORIZED, why))
            return
        options = parse_password(asked.authorize.password)
        if worker not in self.workers:
            log.info("authorize", worker=worker, user_agent=self.user_agent, **self._facts())
            if options.ignored:
                log.warning("password_fields_ignored", worker=worker, fields=options.ignored, **self._facts())
        self.workers[worker] = None
        if upstream is not None:
            upstream.authorize(upstream.endpoint.user_for(worker))
        self.session.answer(asked.reply, True)
        self._tell_mask()
        self._difficulty.asked(worker, options)
        self._follow_minimum()

    def _configure(self, asked: ConfigureAsked) -> None:
        upstream = self._dial()
        if self.mask.pool is None and upstream is None:
            self._waiting.append(lambda ready: self._answer_configure(asked))
        else:
            self._answer_configure(asked)

    def _answer_configure(self, asked: ConfigureAsked) -> None:
        result = negotiate(asked.configure, self.mask, self._difficulty)
        self._takes_extranonce = self._takes_extranonce or "subscribe-extranonce" in result
        self.session.answer(asked.reply, result)
        self._follow_minimum()

    def _suggest(self, difficulty: float) -> None:
        # Tiny miners repeat their wish every 30 s to keep the connection alive; the pool hears it once.
        if difficulty != self._suggested:
            self._suggested = difficulty
            if self.dialer is not None and self.dialer.upstream is not None:
                self.dialer.upstream.suggest_difficulty(difficulty)

    def _junk(self, why: str) -> None:
        self._junk_lines += 1
        self.pool.metrics.junk_lines.inc()
        self.conduct.refused("junk", self.pool.gate.clock())
        if not self._spoke_stratum or self._junk_lines >= self.pool.limits.junk_lines:
            log.warning("not_stratum", why=why, **self._facts())
            self._close("not Stratum")

    # What the miner is told

    def _begin_layout(self, upstream: Upstream) -> None:
        self._layout = fresh(*upstream.extranonce, upstream.number, self.pool.miner_extranonce1())
        self._layout_source = (upstream.number, upstream.extranonce)

    def _adopt_extranonce(self, upstream: Upstream) -> bool:
        """Moves to another extranonce space; False where the miner has to come back for that."""
        assert self._layout is not None
        layout = kept(*upstream.extranonce, upstream.number, self._layout)
        if layout is None and not self._takes_extranonce:
            log.warning("extranonce_does_not_fit", **self._facts())
            self.pool.metrics.extranonce_changed("reconnect")
            self.session.reconnect()
            self._leave_at = self._clock() + RECONNECT_GRACE_SECONDS
            self.wake()
            return False
        if layout is None:
            self._begin_layout(upstream)
            self.pool.metrics.extranonce_changed("set_extranonce")
            self.session.set_extranonce(self._layout.miner_extranonce1, self._layout.miner_extranonce2_size)
        else:
            self._layout = layout
            self._layout_source = (upstream.number, upstream.extranonce)
        return True

    def _start_work(self, upstream: Upstream) -> None:
        if not self.is_subscribed:
            return
        if upstream.current is None:
            self._tell_difficulty()
        elif self._current is not None and self._current.work is upstream.current:
            self._send_again()
        else:
            self.job_received(upstream.current)

    def _follow_minimum(self) -> None:
        if self.is_subscribed and self._difficulty.wanted != self._difficulty.told:
            if self._current is None:
                self._tell_difficulty()
            else:
                self._send_again()

    def _tell_mask(self) -> None:
        # Some firmware drops the connection where this comes before authorize is through.
        if self.mask.untold and self.workers:
            self.mask.untold = False
            self.session.set_version_mask(self.mask.agreed)

    def _tell_difficulty(self) -> None:
        if (difficulty := self._difficulty.change()) is not None:
            self.session.set_difficulty(difficulty)

    def _send_again(self) -> None:
        """The current job under a new id, ntime advanced by the time passed: at least 1 s, so no header repeats."""
        current = self._current
        assert current is not None
        ntime = max(self._advanced_ntime(current.work), current.ntime + 1)
        self._send(current.work, ntime=min(ntime, 0xFFFFFFFF), clean_jobs=False)
        self.wake()

    def _advanced_ntime(self, work: Work) -> int:
        """The job's, with the time that passed since it came from the pool."""
        return min(work.job.ntime + int(self._clock() - work.received_seconds), 0xFFFFFFFF)

    def _send(self, work: Work, *, ntime: int, clean_jobs: bool) -> None:
        difficulty = self._difficulty
        if difficulty.pool is None:
            difficulty.pool = UNTOLD_DIFFICULTY
        self._tell_difficulty()
        self._difficulty_due = None
        assert self._layout is not None and difficulty.told is not None
        sent = SentJob(new_job_id(), work, self._layout, ntime, difficulty.told, difficulty.pool, self.mask.agreed)
        self.jobs.add(sent)
        self._current, self._notified_at = sent, self._clock()
        self.session.notify(sent.notified(clean_jobs=clean_jobs))

    def _facts(self) -> dict[str, str]:
        return {"miner": self.address, "pool_label": self.pool.name}
