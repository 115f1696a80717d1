"""One connection to a pool: a socket around services.stratum's PoolSession."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.awaited_verdicts import AwaitedVerdicts
from services.proxy.keepalive import keep_alive
from services.proxy.known_users import KnownUsers
from services.proxy.pool_pace import MESSAGES_A_TURN, PoolPace
from services.proxy.silence_watch import SilenceWatch
from services.proxy.state_count import StateCount
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
    from collections.abc import Callable, Sequence

    from services.proxy.awaited_verdicts import Verdict
    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.pool import Pool
    from services.proxy.upstream_listener import UpstreamListener

log = structlog.get_logger()

USER_AGENT: Final = "sharehouse"
_MAX_QUEUED_BYTES: Final = 1024 * 1024
_MAX_UNREADABLE: Final = 100


class Upstream(asyncio.Protocol):
    """Subscribes by itself and tells its listener. Public attributes are the pool's last word on each.

    ``users`` are authorized at once. Where the endpoint has one user for all, nothing is ready before that one is in.
    """

    __slots__ = (
        "_authorized",
        "_clean_jobs",
        "_configured",
        "_ended",
        "_first_users",
        "_flush_due",
        "_loop",
        "_opened_at",
        "_pace",
        "_patience",
        "_pool",
        "_retiring",
        "_session",
        "_state",
        "_subscribed",
        "_timer",
        "_transport",
        "_unreadable",
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
        self._pool, self._first_users = pool, users
        self._patience = pool.proxy.patience
        self._loop = asyncio.get_running_loop()
        self._session = PoolSession(USER_AGENT, pool.limits.pool_line_bytes)
        self._transport: asyncio.Transport | None = None
        self._pace = PoolPace(pool, endpoint, lambda: self.data_received(b""))
        self._timer: asyncio.TimerHandle | None = None
        self._configured = self._subscribed = self._authorized = self._ended = self._retiring = self._flush_due = False
        self._users = KnownUsers(self._patience.refused_seconds)
        self._waiting = AwaitedVerdicts(
            pool.limits.verdict_timeout_seconds,
            self._patience.silent_seconds,
            forget=self._session.forget,
            silent=partial(self._silent, "the pool is silent: neither verdicts nor jobs come"),
            settled=self._end_if_retired,
        )
        self._clean_jobs = self._unreadable = 0
        self._state = StateCount()
        self.silence = SilenceWatch(
            self._patience.idle_seconds, partial(self.end, "the pool is silent"), pool.deadlines
        )
        self._opened_at = self._loop.time()

    @property
    def age_seconds(self) -> float:
        """How long ago it was opened."""
        return self._loop.time() - self._opened_at

    @property
    def has_lasted(self) -> bool:
        """Whether it was opened long enough ago to be, or to have been, a good one."""
        return self.age_seconds >= self._patience.steady_seconds

    @property
    def is_served(self) -> bool:
        """Whether the pool, beyond doubt, serves this connection."""
        return self.was_heard_within(self._patience.silent_seconds / 2) and self.has_lasted

    def was_heard_within(self, seconds: float) -> bool:
        """Whether it is alive, and the pool sent something in that time."""
        return self.is_alive and self._loop.time() - self.silence.heard_at < seconds

    @property
    def unanswered_submits(self) -> int:
        """Shares on their way that have no verdict."""
        return len(self._waiting)

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
        self._waiting.add(number, on_verdict)
        self._flush_soon()

    def step_aside(self) -> None:
        """Takes late shares for a while, then retires; at once where it never sent a job."""
        if self.current is None:
            self.retire()
        elif not self._ended:
            self._set_timer(self._patience.late_seconds, self.retire)

    def retire(self) -> None:
        """Takes no more shares; closes once the verdicts on those under way are in, or timed out."""
        self._retiring = True
        self.is_alive = False
        self._end_if_retired()

    def end(self, why: str, *, conclusive: bool = False) -> None:
        """Closes the connection; who waits for a verdict is told that there is none. Idempotent."""
        self._end(Loss(why, conclusive=conclusive))

    def _end(self, loss: Loss) -> None:
        if self._ended:
            return
        self._ended, self.is_alive = True, False
        self._pool.upstreams.discard(self)
        self._state.enter(None)
        self._clear_timer()
        self.silence.stop()
        if self._transport is not None:
            self._transport.abort()
        self._waiting.give_up()
        if not self._retiring:
            self.listener.upstream_lost(self, loss)

    # asyncio.Protocol

    # uvloop's transports have the interface of asyncio.Transport without being one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self._ended:
            transport.abort()
            return
        self._pool.upstreams.add(self)
        self._state.enter(self._pool.metrics.upstreams_connecting)
        self._transport = transport
        self._pace.begin(transport)
        transport.set_write_buffer_limits(high=_MAX_QUEUED_BYTES)
        keep_alive(transport.get_extra_info("socket"))
        self._set_timer(self._patience.handshake_seconds, self._silent, "the pool did not answer the handshake")
        self._session.configure(FULL_MASK)
        self._session.subscribe()
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self.silence.heard()
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

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._pace.finish()
        self.end(f"connection lost: {error}" if error else "the pool closed the connection")

    def pause_writing(self) -> None:
        self.end("the pool does not read")

    # What the pool says

    @property
    def _is_ready(self) -> bool:
        return self._configured and self._subscribed and self._authorized

    def _handle(self, event: Event) -> None:
        match event:
            case SubmitAnswered():
                self._answered(event)
            case JobReceived(job):
                self._waiting.works()
                if self.current is None and self.is_alive:
                    self._clear_timer()
                self._clean_jobs += job.clean_jobs
                now = self._loop.time()
                self.current = Work(job, self, self.extranonce, self._clean_jobs, now, job.content_key())
                self.current_prevhash = job.prevhash
                if self.is_alive:
                    self.listener.job_received(self.current)
            case DifficultySet(difficulty):
                self.difficulty = difficulty
                if self.is_alive:
                    self.listener.upstream_changed(self)
            case Configured(mask) | VersionMaskSet(mask):
                self.version_mask = mask
                self._configured = self._configured or isinstance(event, Configured)
                self._progress()
                if self.is_alive:
                    self.listener.upstream_changed(self)
            case Subscribed() | ExtranonceSet():
                self.extranonce = (event.extranonce1, event.extranonce2_size)
                if isinstance(event, Subscribed):
                    self._has_subscribed()
            case _:
                self._handle_rare(event)

    def _handle_rare(self, event: Event) -> None:
        facts = {"pool_label": self._pool.name, "pool": self.endpoint.address}
        match event:
            case SubscribeRefused(code, message):
                self.end(f"the pool refused the subscription: {code} {message}", conclusive=True)
            case Authorized(user, error):
                self._has_authorized(user, error)
            case ReconnectAsked(host, port, wait_seconds):
                if not host or self._pool.options.may_lead_to(host):
                    self._end(Loss("the pool asked to reconnect", wait_seconds, host=host, port=port))
                elif self._pace.may_tell():
                    log.warning("pool_redirect_refused", host=host, port=port, **facts)
            case MessageShown(text) if self._pace.may_tell():
                log.info("pool_message", text=text, **facts)
            case Unreadable(why):
                self._unreadable += 1
                if self._unreadable == 1:
                    log.warning("pool_unreadable", why=why, **facts)
                if self._unreadable > _MAX_UNREADABLE:
                    self.end("the pool does not speak Stratum", conclusive=True)

    def _has_subscribed(self) -> None:
        if self._subscribed:
            return
        self._subscribed = True
        for user in self._first_users:
            self.authorize(user)
        # Where each worker has a name of its own, a refused one is that miner's affair.
        self._authorized = self._authorized or self.endpoint.per_worker_users
        self._session.subscribe_extranonce()
        self._set_timer(self._patience.optional_seconds, self._do_without)
        self._progress()

    def _do_without(self) -> None:
        """A pool that never heard of configure may not answer it at all; nor does every one answer authorize."""
        self._configured = self._authorized = True
        self._progress()

    def _has_authorized(self, user: str, error: tuple[int, str] | None) -> None:
        if error is None:
            self._users.accepted(user)
            self._authorized = True
            self._progress()
            return
        self._users.refused(user)
        self._pool.metrics.users_refused.inc()
        if self.endpoint.per_worker_users:
            pool, address = self._pool.name, self.endpoint.address
            log.error("pool_refused_user", pool_label=pool, pool=address, user=user, error=error)
        else:
            self.end(f"the pool refused the user {user}: {error[0]} {error[1][:200]}", conclusive=True)

    def _progress(self) -> None:
        if not self._is_ready or self.is_alive or self._retiring or self._ended:
            return
        self._clear_timer()
        self.is_alive = True
        self._state.enter(self._pool.metrics.upstreams_ready)
        self._expect_job()
        self.listener.upstream_ready(self)

    def _expect_job(self) -> None:
        """A pool sends its first job once somebody is authorized, or it is none."""
        if self.current is None and self._users and self._timer is None:
            self._set_timer(self._patience.handshake_seconds, self._silent, "the pool sent no job")

    def _answered(self, event: SubmitAnswered) -> None:
        sent = self._waiting.take(event.submit_id)
        if sent is None:
            self._pool.metrics.late_verdicts.inc()
            return
        since, on_verdict = sent
        now = self._loop.time()
        self._pool.metrics.latency.observe(now - since)
        self._pool.latency.answered(now - since, now)
        on_verdict(event.answer, event.error)
        self._end_if_retired()

    # Time

    def _end_if_retired(self) -> None:
        if self._retiring and not self._waiting:
            self.end("retired")

    def _silent(self, why: str) -> None:
        self.end(why, conclusive=True)

    def _set_timer(self, seconds: float, call: Callable[..., None], *arguments: str) -> None:
        self._clear_timer()
        self._timer = self._loop.call_later(seconds, call, *arguments)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._transport is not None and not self._ended and (data := self._session.outgoing()):
            self._transport.write(data)
