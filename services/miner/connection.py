"""One TCP connection to a pool: the handshake awaited, then jobs and verdicts handed on."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from services.miner.mining_job import MiningJob
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
from services.stratum.version import GENERAL_PURPOSE_MASK

if TYPE_CHECKING:
    from services.stratum.job import Job

log = logging.getLogger(__name__)

USER_AGENT = "sharehouse-miner/0.1"
# A pool that speaks nonsense all the time must not fill the log.
_MOST_COMPLAINTS = 5


_NO_STRATUM = "what answers there does not speak Stratum (MINING_POOL_HOST, MINING_POOL_PORT)"
_CLOSED = (
    "the pool closed the connection during the handshake; is it a Stratum pool, and does it want TLS there "
    "(MINING_POOL_PORT, MINING_POOL_TLS)?"
)


class PoolRefusedError(ConnectionError):
    """The pool answered, and will not have us: wrong worker name, wrong password, or no Stratum at all."""


class Listener(Protocol):
    """Who wants to know what the pool says."""

    def job_received(self, mining_job: MiningJob) -> None: ...
    def verdict_received(self, submit_id: int, error: tuple[int, str] | None) -> None: ...
    def reconnect_asked(self, asked: ReconnectAsked) -> None: ...
    def connection_ended(self, connection: PoolConnection) -> None: ...


class PoolConnection(asyncio.Protocol):
    """Feeds a PoolSession from a socket and keeps what holds for the connection."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._session = PoolSession(USER_AGENT)
        self._transport: asyncio.Transport | None = None
        self._early_job: Job | None = None
        self._mining_job: MiningJob | None = None
        loop = asyncio.get_running_loop()
        self._subscribed: asyncio.Future[None] = loop.create_future()
        self._authorized: asyncio.Future[None] = loop.create_future()
        self._ended = asyncio.Event()
        self._complaints = 0
        self._has_understood = False
        self.session_id = ""
        self.extranonce1 = b""
        self.extranonce2_size = 0
        self.difficulty = 1.0
        self.version_mask = 0
        self.last_heard_seconds = time.monotonic()

    async def handshake(self, username: str, password: str, session_id: str) -> None:
        """Configures version rolling, subscribes, authorizes. Raises ConnectionError, PoolRefusedError."""
        self._session.configure(GENERAL_PURPOSE_MASK)
        self._session.subscribe(session_id)
        self._flush()
        await self._subscribed
        self._session.authorize(username, password)
        self._session.subscribe_extranonce()
        self._flush()
        await self._authorized

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def submit(self, username: str, job_id: str, extranonce2: bytes, ntime: int, nonce: int, bits: int | None) -> int:
        """Sends a share; its verdict comes under the number returned."""
        submit_id = self._session.submit(username, job_id, extranonce2, ntime, nonce, bits)
        self._flush()
        return submit_id

    def forget(self, submit_id: int) -> None:
        """Wants no verdict on that share any more."""
        self._session.forget(submit_id)

    async def close(self) -> None:
        """Closes the connection and waits, a second at most, until it is."""
        if self._transport is not None:
            self._transport.close()
            try:
                async with asyncio.timeout(1.0):
                    await self._ended.wait()
            except TimeoutError:
                self._transport.abort()

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # uvloop's transports have the interface of asyncio.Transport without being one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        self.last_heard_seconds = time.monotonic()
        log.debug("from the pool: %r", data)
        try:
            for event in self._session.receive(data):
                self._handle(event)
        except ProtocolError as error:
            log.warning("The pool sent what cannot be read (%s): reconnecting.", error)
            self.abort()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self._subscribed, self._authorized):
            _fail(waiting, ConnectionError(_CLOSED))
        self._ended.set()
        self._listener.connection_ended(self)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Unreadable):
            self._complain(event.why)
            return
        self._has_understood = True
        match event:
            case SubmitAnswered(submit_id, error):
                self._listener.verdict_received(submit_id, error)
            case JobReceived(job):
                self._new_job(job)
            case DifficultySet(difficulty):
                self.difficulty = difficulty
            case ExtranonceSet(extranonce1, extranonce2_size):
                self.extranonce1, self.extranonce2_size = extranonce1, extranonce2_size
            case VersionMaskSet(version_mask) | Configured(version_mask):
                self._take_version_mask(version_mask & GENERAL_PURPOSE_MASK)
            case Subscribed():
                self._take_subscription(event)
            case SubscribeRefused(code, message):
                _fail(self._subscribed, PoolRefusedError(f"the pool refused to subscribe us: [{code}] {message}"))
            case Authorized(user, error):
                self._take_authorization(user, error)
            case ReconnectAsked():
                self._listener.reconnect_asked(event)
            case MessageShown(text):
                log.info("The pool says: %s", text)

    def _complain(self, reason: str) -> None:
        if not self._has_understood:
            _fail(self._subscribed, PoolRefusedError(_NO_STRATUM))
            self.abort()
            return
        self._complaints += 1
        if self._complaints <= _MOST_COMPLAINTS:
            log.warning("Message from the pool ignored: %s", reason)
        if self._complaints == _MOST_COMPLAINTS:
            log.warning("More of the kind on this connection will not be mentioned.")

    def _take_subscription(self, event: Subscribed) -> None:
        self.session_id = event.session
        self.extranonce1, self.extranonce2_size = event.extranonce1, event.extranonce2_size
        if not self._subscribed.done():
            self._subscribed.set_result(None)
        if self._early_job is not None:
            self._new_job(self._early_job)

    def _take_version_mask(self, version_mask: int) -> None:
        """Unlike the rest of what a pool sets, a mask holds at once: for the job in hand, too."""
        self.version_mask = version_mask
        if self._mining_job is not None and self._mining_job.version_mask != version_mask:
            self._mining_job = replace(self._mining_job, version_mask=version_mask)
            self._listener.job_received(self._mining_job)

    def _take_authorization(self, user: str, error: tuple[int, str] | None) -> None:
        if error is not None:
            _fail(self._authorized, PoolRefusedError(f"the pool refused the worker {user}: [{error[0]}] {error[1]}"))
        elif not self._authorized.done():
            self._authorized.set_result(None)

    def _new_job(self, job: Job) -> None:
        if not self.extranonce2_size:
            self._early_job = job
            return
        try:
            self._mining_job = mining_job = MiningJob.of(job, self)
        except ProtocolError as error:
            log.warning("Job from the pool ignored: %s", error)
            return
        self._listener.job_received(mining_job)

    def _flush(self) -> None:
        data = self._session.outgoing()
        if data and self._transport is not None:
            self._transport.write(data)


def _fail(waiting: asyncio.Future[None], error: ConnectionError) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # nobody may be waiting for it: that is no fault
