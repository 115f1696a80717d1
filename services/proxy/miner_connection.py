"""The socket of one miner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.endpoint import host_and_port
from services.proxy.keepalive import keep_alive
from services.proxy.limit_hits import LIMIT_OF_REASON
from services.proxy.miner import Miner
from services.proxy.pacing import MESSAGES_A_TURN, MessageBudget, Reading
from services.stratum.proxy_protocol import HEADER_BEGINNINGS

if TYPE_CHECKING:
    from services.proxy.pool import Pool

log = structlog.get_logger()

_CLOSE_SECONDS: Final = 5.0
_LINGER_SECONDS: Final = 1.0
_TLS = "TLS on the plain port"
_BALANCER = "PROXY protocol of an untrusted address"
_STILL_SENDING: Final = frozenset(
    {"line too long", "not Stratum", "mostly invalid shares", "pool removed", "proxy stopping", _TLS, _BALANCER}
)
"""After these the peer may be amid sending: a close at once would be a reset, which overtakes what it was told."""
_STOPPING: Final = "stopping"
_OUT_OF_PLACE: Final = (
    ((b"\x16\x03",), _TLS, "this port speaks Stratum without TLS: use stratum+tcp://"),
    (HEADER_BEGINNINGS, _BALANCER, "a PROXY protocol header is read only from the addresses in TRUSTED_PROXIES"),
)
"""How a connection begins that was set up wrongly, why it is closed then, and what it is told."""


class MinerConnection(asyncio.Protocol):
    """Feeds a Miner and sends what it says: one write per loop turn. ``connections`` holds those that are open."""

    __slots__ = (
        "_budget",
        "_connections",
        "_draining",
        "_due_at",
        "_due_slot",
        "_flush_due",
        "_half_closed",
        "_has_backlog",
        "_host",
        "_is_new",
        "_loop",
        "_pool",
        "_port",
        "_reading",
        "_told_to_slow_down",
        "_transport",
        "_why",
        "miner",
    )

    def __init__(self, pool: Pool, connections: set[MinerConnection], peer: tuple[str, int]) -> None:
        self._pool = pool
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._host, self._port = peer
        self._transport: asyncio.Transport | None = None
        self._reading: Reading
        self._budget = MessageBudget(pool.limits.messages_per_second, pool.gate.clock())
        self._due_at = 0.0
        self._due_slot = 0
        self._flush_due = self._half_closed = self._draining = self._has_backlog = self._told_to_slow_down = False
        self._is_new = True
        self._why = ""
        self.miner: Miner

    @property
    def unanswered(self) -> int:
        """Requests that wait for an answer."""
        return self.miner.session.unanswered

    @property
    def shares_in_flight(self) -> int:
        """Shares whose verdict the pool, or the disk, still owes."""
        return self.miner.shares.in_flight

    def abort(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()

    def drain(self) -> None:
        """Reads no more; answers still go out."""
        self._draining = True
        if self._transport is not None:
            self._reading.hold(_STOPPING)

    def tell(self, text: str) -> None:
        """Shows the miner a sentence, in the two ways that one or the other firmware logs."""
        self.miner.session.show_message(text)
        self.miner.session.farewell(text)
        self._wake()

    def close(self, why: str, detail: str = "") -> None:
        """Sends what is queued, then closes; a peer that does not read is cut off after a while. Idempotent."""
        transport = self._transport
        if transport is None or self._why:
            return
        self._why = why
        self.miner.session.finish()
        if (limit := LIMIT_OF_REASON.get(why)) is not None:
            self._hit(limit, **({"why": detail} if detail else {}))
        if data := self.miner.session.outgoing():
            transport.write(data)
        linger = why in _STILL_SENDING and transport.can_write_eof()
        if linger:
            transport.write_eof()
            # What still comes is thrown away, until the peer has read that it was the end.
            self._reading.release(_STOPPING)
        else:
            transport.close()
        self._fall_due_at(self._loop.time() + (_LINGER_SECONDS if linger else _CLOSE_SECONDS))

    # asyncio.Protocol

    # uvloop's transports have the interface of asyncio.Transport without being one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._reading = Reading(transport)
        pool = self._pool
        self.miner = Miner(
            pool,
            host_and_port(self._host, self._port),
            conduct=pool.gate.enter(self._host),
            clock=pool.clock,
            wake=self._wake,
            close=self.close,
        )
        pool.metrics.connections_opened.inc()
        pool.metrics.connections.inc()
        self._connections.add(self)
        pool.sessions.begin(self.miner)
        log.info("connect", miner=self.miner.address, pool_label=pool.options.name)
        transport.set_write_buffer_limits(high=pool.limits.queued_bytes)
        keep_alive(transport.get_extra_info("socket"))
        self._fall_due_at(self.miner.next_due)

    def data_received(self, data: bytes) -> None:
        if self._why:
            return
        if self._is_new:
            self._is_new = False
            for beginning, reason, told in _OUT_OF_PLACE:
                if data.startswith(beginning):
                    self.miner.session.farewell(told)
                    self.close(reason)
                    return
        taken = 0
        try:
            taken = self.miner.receive(data)
        except Exception:
            log.exception("miner_error", miner=self.miner.address)
            self.close("internal error")
        if self.miner.conduct.is_mostly_invalid(self._pool.gate.clock()):
            self._condemn()
        self.flush()
        if not self._why:
            self._pace(taken)

    def eof_received(self) -> bool:
        """A miner that half-closes still reads the answers to what it sent."""
        self._half_closed = True
        # TLS cannot be closed by halves.
        return self._is_owed and self._transport is not None and not self._transport.get_extra_info("sslcontext")

    def pause_writing(self) -> None:
        if self._transport is not None and not self._why:
            self._why = "slow reader"
            self._hit("queued_bytes")
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._pool.gate.leave(self._host)
        self._pool.deadlines.drop(self, self._due_slot)
        miner, metrics = self.miner, self._pool.metrics
        miner.leave()
        reason = self._why or ("connection error" if error else "closed by miner")
        self._why = reason
        metrics.connections.dec()
        metrics.closed(reason)
        self._pool.sessions.end(miner, reason)
        log.info(
            "disconnect",
            miner=miner.address,
            pool_label=self._pool.options.name,
            reason=reason,
            user_agent=miner.user_agent,
            workers=len(miner.workers),
            accepted=miner.shares.accepted,
            rejected=miner.shares.rejected,
        )

    # How fast

    @property
    def _is_owed(self) -> bool:
        """Whether answers are still to come to what was sent."""
        return self._has_backlog or self.unanswered > 0

    def _pace(self, taken: int) -> None:
        """Bounds what one connection takes of everybody's time: in a turn, in a second, and of our memory."""
        self._has_backlog = taken == MESSAGES_A_TURN
        if pause_seconds := self._budget.spend(taken, self._pool.gate.clock()):
            self._hit("messages_per_second")
            if not self._told_to_slow_down:
                self._told_to_slow_down = True
                most = self._pool.limits.messages_per_second
                self.miner.session.show_message(f"too many messages: more than {most:g} a second are not read")
                self._wake()
            self._reading.hold("pace")
            self._loop.call_later(pause_seconds, self._take_backlog)
        elif self._has_backlog:
            self._reading.hold("pace")
            self._loop.call_soon(self._take_backlog)
        if self.unanswered >= self._pool.limits.unanswered_requests and not self._reading.is_held("unanswered"):
            self._hit("unanswered_requests")
            self._reading.hold("unanswered")

    def _take_backlog(self) -> None:
        """Goes on with what was left inside, then with the socket."""
        if self._why or self._draining:
            return
        self._reading.release("pace")
        if self._has_backlog and not self._reading.is_held("unanswered"):
            self.data_received(b"")

    def _condemn(self) -> None:
        limits, gate = self._pool.limits, self._pool.gate
        if banned := gate.condemn(self._host):
            log.warning("ban", miner=self.miner.address, pool_label=self._pool.options.name, seconds=limits.ban_seconds)
        until = f"; banned for {limits.ban_seconds:.0f} seconds" if banned else ""
        self.miner.session.farewell(f"mostly invalid shares{until}")
        self.close("mostly invalid shares")

    def _hit(self, limit: str, **facts: str) -> None:
        self._pool.gate.hits.hit(limit, self._pool.options.name, self._host, miner=self.miner.address, **facts)

    # Sending and time

    def _wake(self) -> None:
        if not self._flush_due and not self._why:
            self._flush_due = True
            self._pool.outbox.add(self)

    def flush(self) -> None:
        """Sends what has gathered, and looks when to wake up next."""
        self._flush_due = False
        transport = self._transport
        if transport is None or self._why:
            return
        if data := self.miner.session.outgoing():
            transport.write(data)
        if self._reading.is_held("unanswered") and 2 * self.unanswered < self._pool.limits.unanswered_requests:
            self._reading.release("unanswered")
            if not self._reading.is_held("pace"):
                self._loop.call_soon(self._take_backlog)
        if self._half_closed and not self._is_owed:
            self.close("closed by miner")
        elif (due := self.miner.next_due) < self._due_at:
            self._fall_due_at(due)

    def fall_due(self) -> None:
        """Time has passed."""
        if self._why:
            self.abort()
            return
        try:
            self.miner.tick()
        except Exception:
            log.exception("miner_error", miner=self.miner.address)
            self.close("internal error")
        self.flush()
        if not self._why:
            self._fall_due_at(self.miner.next_due)

    def _fall_due_at(self, at: float) -> None:
        self._pool.deadlines.drop(self, self._due_slot)
        self._due_at = at
        self._due_slot = self._pool.deadlines.wake(self, at)
