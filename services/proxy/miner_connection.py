"""The socket of one miner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.dialer import Dialer, keep_alive
from services.proxy.miner import Miner

if TYPE_CHECKING:
    from services.proxy.pool import Pool

log = structlog.get_logger()

_CLOSE_SECONDS: Final = 5.0


class MinerConnection(asyncio.Protocol):
    """Feeds a Miner and sends what it says: one write per loop turn. ``connections`` holds those that are open."""

    def __init__(self, pool: Pool, connections: set[MinerConnection]) -> None:
        self._pool = pool
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flush_due = self._reading_paused = self._half_closed = self._draining = False
        self._told_of_unanswered = False
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
        if self._transport is not None and not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def close(self, why: str) -> None:
        """Sends what is queued, then closes; a peer that does not read is cut off after a while. Idempotent."""
        transport = self._transport
        if transport is None or self._why:
            return
        self._why = why
        if data := self.miner.session.outgoing():
            transport.write(data)
        transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_CLOSE_SECONDS, transport.abort)

    # asyncio.Protocol

    # uvloop's transports have the interface of asyncio.Transport without being one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        pool = self._pool
        self.miner = Miner(
            pool,
            _printed(transport.get_extra_info("peername")),
            clock=self._loop.time,
            wake=self._wake,
            close=self.close,
        )
        self.miner.dialer = Dialer(pool, self.miner)
        pool.metrics.connections_opened.inc()
        pool.metrics.connections.inc()
        self._connections.add(self)
        log.info("connect", miner=self.miner.address, pool_label=pool.options.name)
        transport.set_write_buffer_limits(high=pool.limits.queued_bytes)
        keep_alive(transport.get_extra_info("socket"))
        if len(self._connections) > pool.limits.connections:
            self.miner.session.farewell("too many connections")
            self.close("too many connections")
        else:
            self._set_timer(self.miner.next_due)

    def data_received(self, data: bytes) -> None:
        if self._why:
            return
        try:
            self.miner.receive(data)
        except Exception:
            log.exception("miner_error", miner=self.miner.address)
            self.close("internal error")
        self._flush()
        if self.unanswered >= self._pool.limits.unanswered_requests and not self._reading_paused and not self._why:
            assert self._transport is not None
            if not self._told_of_unanswered:
                self._told_of_unanswered = True
                log.warning("too_many_unanswered", miner=self.miner.address, unanswered=self.unanswered)
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A miner that half-closes still reads the answers to what it sent."""
        self._half_closed = True
        return self.unanswered > 0

    def pause_writing(self) -> None:
        if self._transport is not None and not self._why:
            self._why = "slow reader"
            log.warning("slow_reader", miner=self.miner.address, limit_bytes=self._pool.limits.queued_bytes)
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        miner, metrics = self.miner, self._pool.metrics
        reason = self._why or ("connection error" if error else "closed by miner")
        self._why = reason
        metrics.connections.dec()
        metrics.closed(reason)
        if miner.dialer is not None:
            miner.dialer.stop()
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

    # Sending and time

    def _wake(self) -> None:
        if not self._flush_due and not self._why:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        transport = self._transport
        if transport is None or self._why:
            return
        if data := self.miner.session.outgoing():
            transport.write(data)
        if self._reading_paused and not self._draining and 2 * self.unanswered < self._pool.limits.unanswered_requests:
            self._reading_paused = False
            transport.resume_reading()
        if self._half_closed and not self.unanswered:
            self.close("closed by miner")
        elif (due := self.miner.next_due) < self._timer_at:
            self._set_timer(due)

    def _tick(self) -> None:
        try:
            self.miner.tick()
        except Exception:
            log.exception("miner_error", miner=self.miner.address)
            self.close("internal error")
        self._flush()
        self._set_timer(self.miner.next_due)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._why:
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._tick)


def _printed(peer: object) -> str:
    """ "ip:port", with brackets around an IPv6 address."""
    if not isinstance(peer, tuple) or len(peer) < 2:
        return "unknown"
    host = str(peer[0])
    return f"[{host}]:{peer[1]}" if ":" in host else f"{host}:{peer[1]}"
