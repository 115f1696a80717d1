"""The miner's side of a pool: connects, reconnects, holds the current job, submits shares."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from services.miner import failure
from services.miner.backoff import Backoff
from services.miner.connection import PoolConnection, PoolRefusedError
from services.miner.mining_job import MiningJob, Work
from services.miner.share_ledger import PendingShare, ShareLedger

if TYPE_CHECKING:
    from services.stratum.pool_session import ReconnectAsked

log = logging.getLogger(__name__)
traffic_log = logging.getLogger("services.miner.traffic")
"""What comes with every job and every share, for those who want to do without."""

_HANDSHAKE_SECONDS = 30.0
_VERDICT_SECONDS = 60.0
# Pools send a job at least every minute or so; one that is silent for this long is gone, whatever TCP thinks.
_SILENCE_SECONDS = 300.0
_REMEMBERED_JOBS = 64
_LONGEST_WAIT_SECONDS = 60.0


class AsyncStratumClient:
    """A Stratum V1 client for one worker; with ``tls`` over TLS, the pool's certificate checked.

    ``job_data`` is None before the first job, then a dict with job_id, prevhash, coinbase1, coinbase2, merkle_branch,
    version, bits, time (hex, as in mining.notify) and block_height (a number).
    """

    def __init__(self, host: str, port: int, username: str, password: str, *, tls: bool = False) -> None:
        self._own_port = port
        self._wait_seconds = 0.0
        self._tls = ssl.create_default_context() if tls else None
        self.host = host
        self.port = port
        self.username = username
        self.password = password
        self.job_data: dict[str, Any] | None = None
        self.shares = ShareLedger()
        self._connection: PoolConnection | None = None
        self._session_id = ""
        self._job: MiningJob | None = None
        self._work: OrderedDict[str, Work] = OrderedDict()
        # Never starts over, so that no header is tried twice, whatever jobs and reconnects do; and starts anywhere, so
        # that a restarted miner does not repeat what it did before.
        self._extranonce2 = secrets.randbits(64)
        # Mining threads draw their work themselves.
        self._drawing = threading.Lock()
        self._backoff = Backoff()
        self._wake = asyncio.Event()
        self._job_changed = asyncio.Event()
        self._closing = asyncio.Event()

    @property
    def job(self) -> MiningJob | None:
        """What to mine now; None while there is nothing to mine."""
        job = self._job
        return job if job is not None and job.connection is self._connection else None

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called: there will be no job again."""
        return self._closing.is_set()

    async def connect(self) -> None:
        """Connects, subscribes and authorizes. Raises ConnectionError, or PoolRefusedError, with one clear sentence."""
        if self._connection is not None or self._closing.is_set():
            return
        log.info("Connecting to Stratum pool at %s:%s...", self.host, self.port)
        connection = PoolConnection(self)
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: connection, self.host, self.port, ssl=self._tls)
                await connection.handshake(self.username, self.password, self._session_id)
                if connection.has_ended:
                    raise ConnectionError("the pool closed the connection behind the handshake")
        except BaseException as error:
            connection.abort()
            if not isinstance(error, OSError | UnicodeError):
                raise
            kind = PoolRefusedError if isinstance(error, PoolRefusedError) else ConnectionError
            raise kind(f"Cannot mine on {self.host}:{self.port}: {failure.reason(error)}") from error
        log.info("Connected to Stratum pool.")
        self._connection = connection
        self._session_id = connection.session_id
        self.shares.resubmit(connection, self.username)
        self._job_changed.set()

    async def receive_jobs(self) -> None:
        """Keeps the connection up, with back-off where it fails, until :meth:`close` is called."""
        while not self._closing.is_set():
            if self._connection is None:
                try:
                    await self._connect_unless_closed()
                except ConnectionError as error:
                    self.port = self._own_port  # where the pool had sent us is not to be for ever
                    await self._pause(self._backoff.next_seconds(), str(error))
                    continue
            await self._until_something_happens()
            if self._connection is None and not self._closing.is_set():
                wanted, self._wait_seconds = self._wait_seconds, 0.0
                await self._pause(max(self._backoff.next_seconds(), wanted), "The connection to the pool is lost")

    async def job_after(self, known: MiningJob | None) -> MiningJob | None:
        """What to mine now, as soon as it is another than ``known``: None while there is nothing to mine.

        Returns also when the client is closed.
        """
        while (job := self.job) is known and not self._closing.is_set():
            self._job_changed.clear()
            await self._job_changed.wait()
        return job

    def next_work(self, mining_job: MiningJob) -> Work:
        """A header of that job that no one has tried yet. Any thread may call it."""
        size = mining_job.extranonce2_size
        with self._drawing:
            self._extranonce2 += 1
            work = Work.first(mining_job, (self._extranonce2 % (1 << 8 * size)).to_bytes(size, "big"))
            self._remember(work)
        return work

    async def submit_share(
        self,
        job_id: str,
        nonce: int,
        *,
        extranonce2: bytes | None = None,
        ntime: int | None = None,
        version_bits: int | None = None,
    ) -> bool:
        """Submits a share and waits for the pool's verdict: True if accepted.

        What is None is what was last mined for that job. A share that is in flight when the connection is lost is
        submitted again if the pool resumes the session, and counts once. Raises ValueError for a job never received.
        """
        work = self._work.get(job_id)
        if work is None:
            raise ValueError(f"no job {job_id!r} has been received")
        changed = replace(
            work,
            extranonce2=work.extranonce2 if extranonce2 is None else extranonce2,
            ntime=work.ntime if ntime is None else ntime,
        )
        return await self.submit_work(changed, nonce, version_bits=version_bits)

    async def submit_work(self, work: Work, nonce: int, *, version_bits: int | None = None) -> bool:
        """Like :meth:`submit_share`, for a header at hand; ``version_bits`` None means those of its first version."""
        connection, job_id = work.mining_job.connection, work.mining_job.job.job_id
        mask = work.mining_job.version_mask
        share = PendingShare(
            job_id=job_id,
            extranonce2=work.extranonce2,
            ntime=work.ntime,
            nonce=nonce,
            version_bits=(work.versions[0] & mask if version_bits is None else version_bits & mask) if mask else None,
            connection=connection,
        )
        traffic_log.info("Share submitted: Job ID %s, Nonce %d", job_id, nonce)
        self.shares.submit(share, self._connection, self.username)
        try:
            async with asyncio.timeout(_VERDICT_SECONDS):
                return await share.accepted
        except TimeoutError:
            self.shares.give_up(share)
            return False

    async def close(self) -> None:
        """Ends the connection; :meth:`receive_jobs` and :meth:`wait_for_job` return."""
        self._closing.set()
        self._wake.set()
        self._job_changed.set()
        self._job = None
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        self.shares.end()

    def job_received(self, mining_job: MiningJob) -> None:
        """Called by the connection."""
        job_id = mining_job.job.job_id
        traffic_log.info(
            "New Stratum job received: %s (height %d, share difficulty %g)",
            job_id,
            mining_job.height,
            mining_job.difficulty,
        )
        self._job = mining_job
        self.job_data = mining_job.as_wire_fields()
        with self._drawing:
            self._remember(Work.first(mining_job, bytes(mining_job.extranonce2_size)))
        self._job_changed.set()

    def verdict_received(self, submit_id: int, error: tuple[int, str] | None) -> None:
        """Called by the connection."""
        self.shares.verdict(submit_id, error)

    def reconnect_asked(self, asked: ReconnectAsked) -> None:
        """Called by the connection. Only the pool's own host is followed: the work is not to be diverted."""
        if asked.host not in ("", self.host):
            log.warning("The pool asks to reconnect to %s:%d: ignored, it is another host.", asked.host, asked.port)
            return
        self.port = asked.port or self.port
        self._wait_seconds = min(asked.wait_seconds, _LONGEST_WAIT_SECONDS)
        if self._connection is not None:
            self._connection.abort()

    def connection_ended(self, connection: PoolConnection) -> None:
        """Called by the connection."""
        if self._connection is connection:
            self._connection = None
            if self._job is not None:
                self._backoff.reset()
            self._job = None
            self.shares.connection_lost()
            self._wake.set()
            self._job_changed.set()

    def _remember(self, work: Work) -> None:
        job_id = work.mining_job.job.job_id
        self._work[job_id] = work
        self._work.move_to_end(job_id)
        if len(self._work) > _REMEMBERED_JOBS:
            self._work.popitem(last=False)

    async def _connect_unless_closed(self) -> None:
        attempt = asyncio.ensure_future(self.connect())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((attempt, closing), return_when=asyncio.FIRST_COMPLETED)
            if attempt.done():
                attempt.result()
        finally:
            attempt.cancel()
            closing.cancel()
            await asyncio.gather(attempt, closing, return_exceptions=True)

    async def _until_something_happens(self) -> None:
        self._wake.clear()
        connection = self._connection
        if connection is None or self._closing.is_set():
            return
        # Not wait_for: before Python 3.12 it drops a cancellation that comes together with what it waits for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_SECONDS / 4):
                await self._wake.wait()
        if time.monotonic() - connection.last_heard_seconds > _SILENCE_SECONDS:
            log.warning("Nothing from the pool for %.0f s.", _SILENCE_SECONDS)
            connection.abort()

    async def _pause(self, seconds: float, why: str) -> None:
        log.warning("%s; next attempt in %.1f s.", why, seconds)
        self._wake.clear()
        if not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
