"""One miner: what it was told, and what follows from what it says.

No sockets and no timers here: bytes come by ``receive``, time by ``tick``, the pool's news by ``follow``; what is to be
sent gathers in ``session``, and ``wake`` asks for it to be fetched. How many miners share the upstream makes no
difference here: the line, the place in its extranonce space and the difficulty policy know.
"""

from __future__ import annotations

import math
from itertools import islice
from secrets import token_hex
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.extensions import negotiate
from services.proxy.job_feed import JobFeed
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
from services.proxy.place import Move, Place
from services.proxy.share_intake import ShareIntake
from services.stratum.framing import LineTooLongError
from services.stratum.password import parse_password
from services.stratum.reject import UNAUTHORIZED, StratumError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.conduct import Conduct
    from services.proxy.pool import Pool
    from services.proxy.reply_order import Reply
    from services.proxy.upstream import Upstream
    from services.proxy.work import Work

log = structlog.get_logger()

RECONNECT_GRACE_SECONDS: Final = 5.0


class Miner:
    """``clock`` is monotonic, in seconds; ``close`` ends the connection once what is queued has been sent.

    It takes the reason, a fixed text, and perhaps a detail for the log.
    """

    __slots__ = (
        "_asked_subscribe",
        "_clock",
        "_close",
        "_feed",
        "_followed",
        "_handshake_began",
        "_heard_at",
        "_junk_lines",
        "_leave_at",
        "_place",
        "_session_id",
        "_spoke_stratum",
        "_suggested",
        "_takes_extranonce",
        "_waiting",
        "address",
        "conduct",
        "fail",
        "is_subscribed",
        "jobs",
        "mask",
        "pool",
        "session",
        "shares",
        "user_agent",
        "wake",
        "workers",
    )

    def __init__(
        self,
        pool: Pool,
        address: str,
        *,
        conduct: Conduct,
        clock: Callable[[], float],
        wake: Callable[[], None],
        close: Callable[..., None],
    ) -> None:
        self.pool = pool
        self.address = address
        self.wake = wake
        self.session = MinerSession(pool.limits.line_bytes)
        self.workers: dict[str, None] = {}
        self.conduct = conduct
        self.user_agent = ""
        self.is_subscribed = False
        self.mask = NegotiatedMask()
        self.shares = ShareIntake(self)
        self.fail = close
        self._clock = clock
        self._close = close
        self._place = Place(self)
        self._feed = JobFeed(pool, self.session, self._place, self.mask, clock)
        self.jobs = self._feed.jobs
        self._session_id = token_hex(8)
        self._waiting: tuple[Callable[[Upstream], bool], ...] = ()
        self._followed: Upstream | None = None
        self._suggested: float | None = None
        self._takes_extranonce = self._spoke_stratum = self._asked_subscribe = False
        self._junk_lines = 0
        self._handshake_began = self._heard_at = clock()
        self._leave_at: float | None = None

    @property
    def difficulty_told(self) -> float:
        """What the miner was told last; 0 before that."""
        return self._feed.difficulty.told or 0.0

    @property
    def pool_difficulty(self) -> float:
        """What the pool wanted with the current job; 0 before the first."""
        current = self._feed.current
        return current.pool_difficulty if current is not None else 0.0

    @property
    def upstream(self) -> Upstream | None:
        """The connection that the current job came by, dead or alive; None before the first job."""
        current = self._feed.current
        return current.work.upstream if current is not None else None

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
        elif now >= self._feed.due:
            self._feed.tick(now)

    @property
    def next_due(self) -> float:
        """When ``tick`` should be called next, on the clock."""
        due = self._heard_at + self.pool.limits.idle_seconds
        # Asked after every job, so it is short where all is as usual.
        if not self._asked_subscribe:
            due = min(due, self._handshake_due)
        own = self._feed.due if self._leave_at is None else self._leave_at
        return own if own < due else due

    @property
    def _handshake_due(self) -> float:
        """When the miner must have subscribed; while it waits for our answer the time is ours."""
        if self._asked_subscribe or self._waiting:
            return math.inf
        return self._handshake_began + self.pool.limits.handshake_seconds

    def leave(self) -> None:
        """The connection is gone."""
        self._place.leave()

    def worked(self, credited: float) -> None:
        """A share was found that was good enough when its job was sent."""
        self._feed.worked(credited)
        if self.session.has_outgoing:
            self.wake()

    # What the pool says

    def follow(self, upstream: Upstream) -> None:
        """Catches up with what is new at the upstream, of which nothing may be."""
        difficulty = self._feed.difficulty
        if upstream is not self._followed:
            self._followed, difficulty.pool = upstream, upstream.difficulty
            if self._suggested is not None and difficulty.pool_decides:
                upstream.suggest_difficulty(self._suggested)
        if upstream.difficulty is not None:
            difficulty.pool = upstream.difficulty
        if upstream.version_mask != self.mask.pool:
            self.mask.follow(upstream.version_mask)
        if self._waiting and not self._answer_waiting(upstream):
            return
        if self.mask.untold:
            self._tell_mask()
        if self.is_subscribed:
            work = upstream.current
            is_sent = work is not None and self._take_job(work)
            if not is_sent and self._feed.follow_pool_difficulty():
                self.wake()
        if self.session.has_outgoing:
            self.wake()

    def _answer_waiting(self, upstream: Upstream) -> bool:
        """Answers what waited for an upstream; False where the miner has to wait for another one."""
        while self._waiting:
            if not self._waiting[0](upstream):
                return False
            self._waiting = self._waiting[1:]
            self._handshake_began = self._clock()
        return True

    def _take_job(self, work: Work) -> bool:
        """Whether the job is new to the miner, and was sent, with the difficulty that is for it."""
        current = self._feed.current
        if (current is not None and current.work is work) or self._leave_at is not None:
            return False
        moved = not self._place.is_in(work.upstream)
        if moved and not self._follow_extranonce(work.upstream):
            return False
        self._feed.send(work, moved=moved)
        return True

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

    def _join(self) -> Upstream | None:
        """The upstream to work on, or None where there is none yet."""
        self._spoke_stratum = True
        return self._place.join()

    def _subscribe(self, asked: SubscribeAsked) -> None:
        self._asked_subscribe = True
        if not self.user_agent:
            self.user_agent = asked.subscribe.user_agent
        upstream = self._join()
        if self._place.layout is None:
            self._waiting += (lambda ready: self._answer_subscribe(asked.reply, ready),)
            if upstream is not None:
                self.follow(upstream)
        else:
            self._say_extranonce(asked.reply)
            if upstream is not None:
                self._start_work(upstream)

    def _answer_subscribe(self, reply: Reply, upstream: Upstream) -> bool:
        """False where the line has no place left; the miner is on another one then."""
        if self._place.layout is None and self._place.take(upstream) is Move.NEW_LINE:
            self._work_there()
            return False
        self._say_extranonce(reply)
        return True

    def _say_extranonce(self, reply: Reply) -> None:
        layout, session_id = self._place.layout, self._session_id
        assert layout is not None
        subscriptions = [["mining.set_difficulty", session_id + "1"], ["mining.notify", session_id + "2"]]
        self.session.answer(reply, [subscriptions, layout.miner_extranonce1.hex(), layout.miner_extranonce2_size])
        self.is_subscribed = True

    def _authorize(self, asked: AuthorizeAsked) -> None:
        upstream = self._join()
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
        self._feed.difficulty.asked(worker, options)
        self._follow_difficulty()

    def _configure(self, asked: ConfigureAsked) -> None:
        if (upstream := self._join()) is not None:
            self.mask.follow(upstream.version_mask)
        if self.mask.pool is None:
            self._waiting += (lambda _: self._answer_configure(asked),)
        else:
            self._answer_configure(asked)

    def _answer_configure(self, asked: ConfigureAsked) -> bool:
        result = negotiate(asked.configure, self.mask, self._feed.difficulty)
        self._takes_extranonce = self._takes_extranonce or "subscribe-extranonce" in result
        self.session.answer(asked.reply, result)
        self._follow_difficulty()
        return True

    def _suggest(self, difficulty: float) -> None:
        # Tiny miners repeat their wish every 30 s to keep the connection alive; it is heard once.
        if difficulty == self._suggested:
            return
        self._suggested = difficulty
        if not self._feed.difficulty.pool_decides:
            self._feed.difficulty.start_at(difficulty, self._clock())
            self._follow_difficulty()
        elif (upstream := self._place.upstream) is not None:
            upstream.suggest_difficulty(difficulty)

    def _junk(self, why: str) -> None:
        self._junk_lines += 1
        self.pool.metrics.junk_lines.inc()
        self.conduct.refused("junk", self.pool.gate.clock())
        if not self._spoke_stratum or self._junk_lines >= self.pool.limits.junk_lines:
            self._close("not Stratum", why)

    # What the miner is told

    def _work_there(self) -> None:
        """On another line, whose upstream may be ready or not."""
        if (upstream := self._place.upstream) is not None:
            self.follow(upstream)

    def _follow_extranonce(self, upstream: Upstream) -> bool:
        """Moves to another extranonce space; False where the miner has to come back for that, or to wait."""
        move = self._place.follow(upstream, may_change=self._takes_extranonce)
        match move:
            case Move.NO_FIT:
                log.warning("extranonce_does_not_fit", **self._facts())
                self.pool.metrics.extranonce_changed("reconnect")
                self.session.reconnect()
                self._leave_at = self._clock() + RECONNECT_GRACE_SECONDS
            case Move.NEW_LINE:
                self._work_there()
            case Move.NEW_EXTRANONCE:
                layout = self._place.layout
                assert layout is not None
                self.pool.metrics.extranonce_changed("set_extranonce")
                self.session.set_extranonce(layout.miner_extranonce1, layout.miner_extranonce2_size)
        return move in (Move.NOTHING, Move.NEW_EXTRANONCE)

    def _start_work(self, upstream: Upstream) -> None:
        """Gives a miner that has subscribed something to do; one that does so again, the same again."""
        current = self._feed.current
        if current is not None and current.work is upstream.current:
            self._feed.send_again()
        else:
            self.follow(upstream)

    def _follow_difficulty(self) -> None:
        if self.is_subscribed:
            self._feed.follow_difficulty()

    def _tell_mask(self) -> None:
        # Some firmware drops the connection where this comes before authorize is through.
        if self.mask.untold and self.workers:
            self.mask.untold = False
            self.session.set_version_mask(self.mask.agreed)

    def _facts(self) -> dict[str, str]:
        return {"miner": self.address, "pool_label": self.pool.name}
