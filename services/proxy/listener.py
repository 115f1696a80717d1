"""The ports on which one pool's miners arrive: a plain one, and one for TLS where that is wanted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from services.proxy.acceptor import Acceptor, TrustedNetworks
from services.proxy.door import Door
from services.proxy.endpoint import host_and_port
from services.proxy.listening_socket import BACKLOG, listening_socket

if TYPE_CHECKING:
    from services.proxy.certificate import Certificate
    from services.proxy.miner_connection import MinerConnection
    from services.proxy.pool import Pool

_DRAIN_POLL_SECONDS: Final = 0.02


class Listener:
    """Accepts miners for one pool. ``port`` is the real one, also where 0 was asked for."""

    def __init__(self, pool: Pool, host: str, certificate: Certificate | None = None) -> None:
        self.pool = pool
        self.connections: set[MinerConnection] = set()
        self._host = host
        self._certificate = certificate
        self._servers: list[asyncio.Server | Acceptor] = []

    @property
    def port(self) -> int:
        return self._port(0)

    @property
    def tls_port(self) -> int | None:
        """Where miners that speak TLS are taken; None where they are not."""
        return self._port(1) if len(self._servers) > 1 else None

    async def open(self) -> None:
        """Raises OSError, with the address in it, where a port cannot be had."""
        pool = self.pool.options
        await self._open(pool.listen_port, None)
        if pool.tls_listen_port is not None:
            await self._open(pool.tls_listen_port, self._certificate)

    async def _open(self, port: int, certificate: Certificate | None) -> None:
        label, trusted = self.pool.options.name, self.pool.proxy.trusted_proxies
        try:
            listening = listening_socket(self._host, port, shared=self.pool.proxy.workers > 1)
        except OSError as error:
            raise OSError(
                f"pool {label} cannot listen on {host_and_port(self._host, port)}: {error.strerror or error}; "
                "is another process using the port?"
            ) from error
        if trusted or certificate is not None:
            networks, gate = TrustedNetworks(trusted), self.pool.gate
            self._servers.append(Acceptor(listening, self._door, networks, gate, label, certificate))
        else:
            # The event loop's own way of accepting is the fastest.
            loop = asyncio.get_running_loop()
            self._servers.append(await loop.create_server(self._door, sock=listening, backlog=BACKLOG))

    def _port(self, number: int) -> int:
        port: int = self._servers[number].sockets[0].getsockname()[1]
        return port

    def _door(self, peer: tuple[str, int] | None = None) -> Door:
        return Door(self.pool, self.connections, peer)

    def refuse(self) -> None:
        """Takes no new connections, and reads no more from those that are open."""
        for server in self._servers:
            server.close()
        for connection in tuple(self.connections):
            connection.drain()

    async def settle(self) -> None:
        """Waits until no share is under way to the pool and none waits for the disk; the caller sets a deadline."""
        while self._is_busy():  # noqa: ASYNC110 - asked for seldom, so nothing on the hot path should tell us
            await asyncio.sleep(_DRAIN_POLL_SECONDS)

    def _is_busy(self) -> bool:
        return any(connection.shares_in_flight for connection in self.connections) or any(
            upstream.unanswered_submits for upstream in self.pool.upstreams
        )

    def hang_up(self) -> None:
        """Ends every pool connection; miners whose shares have no verdict by now are told so."""
        self.pool.stop()
        for upstream in tuple(self.pool.upstreams):
            upstream.retire()
            upstream.end("stopping")

    async def close(self) -> None:
        """Closes every miner's connection; what was queued is still sent, but nobody is waited for long."""
        for connection in tuple(self.connections):
            connection.close("proxy stopping")
        for _ in range(50):
            if not self.connections:
                return
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        for connection in tuple(self.connections):
            connection.abort()
