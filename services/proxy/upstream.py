"""One connection to a pool: a socket around services.stratum's PoolSession."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.awaited_verdicts import AwaitedVerdicts
from services.proxy.handshake import Handshake
from services.proxy.keepalive import keep_alive
from services.proxy.known_users import KnownUsers
from services.proxy.pool_pace import MESSAGES_A_TURN, PoolPace
from services.proxy.pool_remarks import PoolRemarks
from services.proxy.silence_watch import SilenceWatch
from services.proxy.state_count import StateCount
from services.proxy.timer import Timer
from services.proxy.upstream_listener import Loss
from services.proxy.work import Work
from services.stratum.pool_session import (
    Authorized,
    Configured,
    DifficultySet,
    Event,
    ExtranonceSet,
    JobReceived,
    MessageShown,
    PoolSession,
    ReconnectAsked,
    SubmitAnswered,
    Subscribed,
    SubscribeRefused,
    Unreadable,
    VersionMaskSet,
)
from services.stratum.reject import ProtocolError
from services.stratum.version import FULL_MASK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.proxy.awaited_verdicts import Verdict
    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.pool import Pool
    from services.proxy.upstream_listener import UpstreamListener

log = structlog.get_logger()

USER_AGENT: Final = "sharehouse"
_MAX_QUEUED_BYTES: Final = 1024 * 1024


class Upstream(asyncio.Protocol):
    """Subscribes by itself and tells its listener. Public attributes are the pool's last word on each.

    ``users`` are authorized at once. Where the endpoint has one user for all, nothing is ready before that one is in.
    """

    __slots__ = (
        "_clean_jobs",
        "_ended",
        "_flush_due",
        "_handshake",
        "_loop",
        "_opened_at",
        "_pace",
        "_remarks",
        "_retiring",
        "_session",
        "_state",
        "_timer",
        "_transport",
        "_users",
        "_waiting",
        "current",
        "current_prevhash",
        "difficulty",
        "endpoint",
        "extranonce",
        "is_alive",
        "listener",
        "number",
        "patience",
        "pool",
        "silence",
        "version_mask",
    )

    def __init__(self, pool: Pool, endpoint: PoolEndpoint, listener: UpstreamListener, users: Sequence[str]) -> None:
        self.endpoint = endpoint
        self.listener = listener
        self.number = pool.upstream_number()
        self.extranonce: tuple[bytes, int] = (b"", 0)
        self.version_mask = 0
        self.difficulty: float | None = None
        self.current: Work | None = None
        self.current_prevhash = b""
        self.is_alive = False
        """Whether shares can be forwarded."""
        self.pool = pool
        self._handshake: Handshake | None = Handshake(endpoint, users)
        self.patience = pool.proxy.patience
        self._loop = asyncio.get_running_loop()
        self._session = PoolSession(USER_AGENT, pool.limits.pool_line_bytes)
        self._transport: asyncio.Transport | None = None
        self._pace = PoolPace(self)
        self._timer = Timer()
        self._ended = self._retiring = self._flush_due = False
        self._users = KnownUsers(self.patience.refused_seconds)
        self._waiting: AwaitedVerdicts | None = None
        self._clean_jobs = 0
        self._remarks: PoolRemarks | None = None
        self._state = StateCount()
        self.silence = SilenceWatch(self)
        self._opened_at = self._loop.time()

    @property
    def age_seconds(self) -> float:
        """How long ago it was opened."""
        return self._loop.time() - self._opened_at

    @property
    def has_lasted(self) -> bool:
        """Whether it was opened long enough ago to be, or to have been, a good one."""
        return self.age_seconds >= self.patience.steady_seconds

    @property
    def is_served(self) -> bool:
        """Whether the pool, beyond doubt, serves this connection."""
        return self.was_heard_within(self.patience.silent_seconds / 2) and self.has_lasted

    def was_heard_within(self, seconds: float) -> bool:
        """Whether it is alive, and the pool sent something in that time."""
        return self.is_alive and self._loop.time() - self.silence.heard_at < seconds

    @property
    def unanswered_submits(self) -> int:
        """Shares on their way that have no verdict."""
        return 0 if self._waiting is None else len(self._waiting)

    def authorize(self, user: str) -> None:
        """Makes ``user`` known to the pool, once; one that it refused again, after a while."""
        if self._users.ask(user):
            self._session.authorize(user, self.endpoint.password)
            if self.is_alive:
                self._expect_job()
            self._flush_soon()

    def suggest_difficulty(self, difficulty: float) -> None:
        """Passes a miner's wish on."""
        self._session.suggest_difficulty(difficulty)
        self._flush_soon()

    def submit(
        self,
        user: str,
        job_id: str,
        extranonce2: bytes,
        ntime: int,
        nonce: int,
        version_bits: int | None,
        on_verdict: Verdict,
    ) -> None:
        """Forwards a share. ``on_verdict`` is called once, later, whatever happens."""
        self.authorize(user)
        number = self._session.submit(user, job_id, extranonce2, ntime, nonce, version_bits)
        if self._waiting is None:
            self._waiting = AwaitedVerdicts(self)
        self._waiting.add(number, on_verdict)
        self._flush_soon()

    def forget(self, submit_id: int) -> None:
        """A verdict on that share would not even be counted."""
        self._session.forget(submit_id)

    def step_aside(self) -> None:
        """Takes late shares for a while, then retires; at once where it never sent a job."""
        if self.current is None:
            self.retire()
        elif not self._ended:
            self._timer.start(self.patience.late_seconds, self.retire)

    def retire(self) -> None:
        """Takes no more shares; closes once the verdicts on those under way are in, or timed out."""
        self._retiring = True
        self.is_alive = False
        self.end_if_retired()

    def end(self, why: str, *, conclusive: bool = False) -> None:
        """Closes the connection; who waits for a verdict is told that there is none. Idempotent."""
        self._end(Loss(why, conclusive=conclusive))

    def _end(self, loss: Loss) -> None:
        if self._ended:
            return
        self._ended, self.is_alive = True, False
        self.pool.upstreams.discard(self)
        self._state.enter(None)
        self._timer.stop()
        self.silence.stop()
        if self._transport is not None:
            self._transport.abort()
        if self._waiting is not None:
            self._waiting.give_up()
        if not self._retiring:
            self.listener.upstream_lost(self, loss)

    # asyncio.Protocol

    # uvloop's transports have the interface of asyncio.Transport without being one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self._ended:
            transport.abort()
            return
        self.pool.upstreams.add(self)
        self._state.enter(self.pool.metrics.upstreams_connecting)
        self._transport = transport
        self._pace.begin(transport)
        transport.set_write_buffer_limits(high=_MAX_QUEUED_BYTES)
        keep_alive(transport.get_extra_info("socket"))
        self._timer.start(self.patience.handshake_seconds, self._silent, "the pool did not answer the handshake")
        self._session.configure(FULL_MASK)
        self._session.subscribe()
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self.silence.heard_at = self._loop.time()
        taken = unasked = 0
        try:
            for event in islice(self._session.receive(data), MESSAGES_A_TURN):
                taken += 1
                unasked += not isinstance(event, (SubmitAnswered, Authorized))
                self._handle(event)
                if self._ended:
                    return
        except ProtocolError as error:
            self.end(str(error), conclusive=True)
        except Exception:
            log.exception("upstream_error", pool=self.endpoint.address)
            self.end("internal error")
        self._flush()
        self._pace.took(taken, unasked)

    def go_on(self) -> None:
        """Takes the messages that wait inside, as many as a turn may have."""
        self.data_received(b"")

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._pace.finish()
        self.end(f"connection lost: {error}" if error else "the pool closed the connection")

    def pause_writing(self) -> None:
        self.end("the pool does not read")

    # What the pool says

    def _handle(self, event: Event) -> None:
        match event:
            case SubmitAnswered():
                if self._waiting is not None:
                    self._waiting.answered(event)
            case JobReceived(job):
                if self._waiting is not None:
                    self._waiting.works()
                if self.current is None and self.is_alive:
                    self._timer.stop()
                self._clean_jobs += job.clean_jobs
                self.current = Work(job, self, self.extranonce, self._clean_jobs, self.silence.heard_at)
                self.current_prevhash = job.prevhash
                if self.is_alive:
                    self.listener.job_received(self.current)
            case DifficultySet(difficulty):
                self.difficulty = difficulty
                if self.is_alive:
                    self.listener.upstream_changed(self)
            case Configured(mask) | VersionMaskSet(mask):
                self.version_mask = mask
                if self._handshake is not None and isinstance(event, Configured):
                    self._handshake.configured()
                    self._progress(self._handshake)
                if self.is_alive:
                    self.listener.upstream_changed(self)
            case Subscribed() | ExtranonceSet():
                self.extranonce = (event.extranonce1, event.extranonce2_size)
                if isinstance(event, Subscribed):
                    self._has_subscribed()
            case Authorized(user, error):
                self._has_authorized(user, error)
            case _:
                self._handle_rare(event)

    def _handle_rare(self, event: Event) -> None:
        remarks = self._remarks = self._remarks or PoolRemarks(self)
        match event:
            case SubscribeRefused(code, message):
                self.end(f"the pool refused the subscription: {code} {message}", conclusive=True)
            case ReconnectAsked(host, port, wait_seconds):
                if not host or self.pool.options.may_lead_to(host):
                    pause_seconds = min(wait_seconds, self.patience.longest_wait_seconds)
                    why = f"the pool asked to reconnect in {pause_seconds:g} s"
                    self._end(Loss(why, pause_seconds, host=host, port=port))
                else:
                    remarks.redirect_refused(host, port)
            case MessageShown(text):
                remarks.message(text)
            case Unreadable(why) if not remarks.unreadable(why):
                self.end("the pool does not speak Stratum", conclusive=True)

    def _has_subscribed(self) -> None:
        if self._handshake is None or not self._handshake.subscribed():
            return
        for user in self._handshake.users:
            self.authorize(user)
        self._session.subscribe_extranonce()
        self._timer.start(self.patience.optional_seconds, self._do_without)
        self._progress(self._handshake)

    def _do_without(self) -> None:
        if self._handshake is not None:
            self._handshake.do_without()
            self._progress(self._handshake)

    def _has_authorized(self, user: str, error: tuple[int, str] | None) -> None:
        if error is None:
            self._users.accepted(user)
            if self._handshake is not None:
                self._handshake.authorized()
                self._progress(self._handshake)
            return
        self._users.refused(user)
        self.pool.metrics.users_refused.inc()
        if self.endpoint.per_worker_users:
            pool, address = self.pool.name, self.endpoint.address
            log.error("pool_refused_user", pool_label=pool, pool=address, user=user, error=error)
        else:
            self.end(f"the pool refused the user {user}: {error[0]} {error[1][:200]}", conclusive=True)

    def _progress(self, handshake: Handshake) -> None:
        if not handshake.is_done or self._retiring or self._ended:
            return
        self._handshake = None
        self._timer.stop()
        self.is_alive = True
        self._state.enter(self.pool.metrics.upstreams_ready)
        self._expect_job()
        self.listener.upstream_ready(self)

    def _expect_job(self) -> None:
        """A pool sends its first job once somebody is authorized, or it is none."""
        if self.current is None and self._users and not self._timer.is_running:
            self._timer.start(self.patience.handshake_seconds, self._silent, "the pool sent no job")

    def end_if_retired(self) -> None:
        """Closes where no verdict is waited for any more, and nothing else to be done."""
        if self._retiring and not self._waiting:
            self.end("retired")

    # Time

    def _silent(self, why: str) -> None:
        self.end(why, conclusive=True)

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._session.has_outgoing and self._transport is not None and not self._ended:
            self._transport.write(self._session.outgoing())
