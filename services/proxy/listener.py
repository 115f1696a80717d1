"""The ports on which one pool's miners arrive: a plain one, and one for TLS where that is wanted."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.acceptor import Acceptor, TrustedNetworks
from services.proxy.door import Door
from services.proxy.endpoint import host_and_port
from services.proxy.listening_socket import BACKLOG, listening_socket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.proxy.certificate import Certificate
    from services.proxy.miner_connection import MinerConnection
    from services.proxy.options import ProxyOptions
    from services.proxy.pool import Pool

    Server = asyncio.Server | Acceptor

log = structlog.get_logger()

_DRAIN_POLL_SECONDS: Final = 0.02


class Listener:
    """Accepts miners for one pool. ``port`` is the real one, also where 0 was asked for."""

    def __init__(self, pool: Pool, host: str, certificate: Certificate | None = None) -> None:
        self.pool = pool
        self.connections: set[MinerConnection] = set()
        self._host = host
        self._certificate = certificate
        self._servers: dict[bool, Server] = {}
        self._parting: set[asyncio.Transport] = set()

    @property
    def port(self) -> int:
        return _port_of(self._servers[False])

    @property
    def tls_port(self) -> int | None:
        """Where miners that speak TLS are taken; None where they are not."""
        return _port_of(self._servers[True]) if True in self._servers else None

    @property
    def servers(self) -> dict[int, Server]:
        """By the real port."""
        return {_port_of(server): server for server in self._servers.values()}

    async def open(self, reserved: Mapping[bool, socket.socket]) -> None:
        """Takes miners on the ports of the pool's options, and nowhere else; who is connected stays.

        ``reserved`` has a socket for each port that is not open yet, by whether TLS is spoken there.
        """
        before = self._servers
        after: dict[bool, Server] = {}
        for tls in self.pool.options.ports:
            after[tls] = await self._serve(reserved[tls], tls=tls) if tls in reserved else before[tls]
        self._servers = after
        for tls, server in before.items():
            if after.get(tls) is not server:
                server.close()
        facts = {"host": self._host, "port": self.port, "tls_port": self.tls_port}
        log.info("listening", pool_label=self.pool.name, pool=self.pool.route.endpoint.address, **facts)

    async def _serve(self, listening: socket.socket, *, tls: bool) -> Server:
        trusted, certificate = self.pool.proxy.trusted_proxies, self._certificate if tls else None
        if trusted or tls:
            networks, gate = TrustedNetworks(trusted), self.pool.gate
            return Acceptor(listening, self._door, networks, gate, self.pool.name, certificate)
        # The event loop's own way of accepting is the fastest.
        return await asyncio.get_running_loop().create_server(self._door, sock=listening, backlog=BACKLOG)

    def _door(self, peer: tuple[str, int] | None = None) -> Door:
        return Door(self.pool, self.connections, self._parting, peer)

    def refuse(self) -> None:
        """Takes no new connections, and reads no more from those that are open."""
        for server in self._servers.values():
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

    async def dismiss(self, deadline_seconds: float) -> None:
        """Parts with the miners of a pool that is no more: told why, and once what is under way is decided."""
        self.pool.metrics.gone()
        self.refuse()
        for connection in tuple(self.connections):
            connection.tell(f"pool {self.pool.name} was removed from the proxy's configuration")
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_seconds):
                await self.settle()
        self.hang_up()
        # Verdicts that came last are still on their way to the disk.
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self.settle()
        await self.close("pool removed")

    async def close(self, why: str = "proxy stopping") -> None:
        """Closes every miner's connection; what was queued is still sent, but nobody is waited for long."""
        for transport in tuple(self._parting):
            transport.abort()
        for connection in tuple(self.connections):
            connection.close(why)
        for _ in range(50):
            if not self.connections:
                return
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        for connection in tuple(self.connections):
            connection.abort()


def reserve(
    proxy: ProxyOptions, pool_label: str, ports: Mapping[bool, int], holders: Mapping[int, Server] | None = None
) -> dict[bool, socket.socket]:
    """Listening sockets that nobody takes connections from yet; who of ``holders`` listens on a port now shares it.

    Raises OSError, with the address in it, where a port cannot be had; then none is kept.
    """
    reserved: dict[bool, socket.socket] = {}
    for tls, port in ports.items():
        holder = (holders or {}).get(port)
        try:
            if holder is not None:
                reserved[tls] = socket.socket(fileno=os.dup(holder.sockets[0].fileno()))
            else:
                reserved[tls] = listening_socket(proxy.host, port, shared=proxy.workers > 1)
        except OSError as error:
            for listening in reserved.values():
                listening.close()
            raise OSError(
                f"pool {pool_label} cannot listen on {host_and_port(proxy.host, port)}: {error.strerror or error}; "
                "is another process using the port?"
            ) from error
    return reserved


def _port_of(server: Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
