"""Takes connections one by one where something comes before the first line: a load balancer's PROXY protocol header."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

import structlog

from services.stratum.proxy_protocol import MAX_HEADER_BYTES, may_start_header, read_header
from services.stratum.reject import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.gate import Gate

    Factory = Callable[[tuple[str, int]], asyncio.Protocol]

log = structlog.get_logger()

HEADER_SECONDS: Final = 5.0
_ACCEPTS_A_TURN: Final = 64
_PARTIAL_PAUSE_SECONDS: Final = 0.02
_MOST_WAITING: Final = 4096
_EXHAUSTED_PAUSE_SECONDS: Final = 0.5


class TrustedNetworks:
    """The balancers whose word on the real address is believed."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in networks)

    def __contains__(self, address: str) -> bool:
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


class Acceptor:
    """A listening socket's connections: ``factory`` makes the protocol of each, told the peer's real address.

    A ``trusted`` peer may send a PROXY protocol header first; anybody else's header is a line that makes no sense. The
    header is taken off the socket before there is a transport, byte for byte.
    """

    def __init__(
        self, listening: socket.socket, factory: Factory, trusted: TrustedNetworks, gate: Gate, pool_label: str
    ) -> None:
        self.sockets = (listening,)
        self._listening = listening
        self._factory = factory
        self._trusted = trusted
        self._gate = gate
        self._pool_label = pool_label
        self._loop = asyncio.get_running_loop()
        self._meetings: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        """Takes no more; who has not said whose connection it is, is dropped. Idempotent."""
        if self._listening.fileno() < 0:
            return
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()
        for meeting in self._meetings:
            meeting.cancel()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of file descriptors: those that are open must not wait for those that cannot be.
                log.error("cannot_accept", pool_label=self._pool_label, why=error.strerror)
                self._loop.remove_reader(self._listening.fileno())
                self._loop.call_later(_EXHAUSTED_PAUSE_SECONDS, self._accept_again)
                return
            connection.setblocking(False)
            peer = plain_peer(address)
            if len(self._meetings) >= _MOST_WAITING:
                self._gate.hits.hit("connections", self._pool_label, peer[0], why="too many wait to be let in")
                connection.close()
                continue
            meeting = self._loop.create_task(self._meet(connection, peer))
            self._meetings.add(meeting)
            meeting.add_done_callback(self._meetings.discard)

    def _accept_again(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    async def _meet(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        handed_on = False
        try:
            real = await self._real_peer(connection) if peer[0] in self._trusted else None
            handed_on = True
            await self._loop.connect_accepted_socket(lambda: self._factory(real or peer), connection)
        except (ProtocolError, TimeoutError) as error:
            why = str(error) or "a PROXY protocol header that does not end"
            self._gate.hits.hit("proxy_protocol", self._pool_label, peer[0], why=why)
        except OSError as error:
            log.debug("connection_failed", pool_label=self._pool_label, miner=peer[0], why=str(error))
        finally:
            if not handed_on:
                connection.close()

    async def _real_peer(self, connection: socket.socket) -> tuple[str, int] | None:
        """Takes the header off the socket; None where the peer speaks for itself.

        Raises ProtocolError for a header that is none, TimeoutError for one that does not end.
        """
        begun = False
        try:
            async with asyncio.timeout(HEADER_SECONDS):
                while True:
                    await self._readable(connection)
                    with suppress(BlockingIOError):
                        data = connection.recv(MAX_HEADER_BYTES, socket.MSG_PEEK)
                        if not data or not may_start_header(data):
                            return None
                        begun = True
                        if (header := read_header(data)) is not None:
                            connection.recv(header.size)
                            return header.source
                    # What was peeked at stays readable: without a pause, the rest would be waited for at full speed.
                    await asyncio.sleep(_PARTIAL_PAUSE_SECONDS)
        except TimeoutError:
            if begun:
                raise
            return None

    async def _readable(self, connection: socket.socket) -> None:
        ready = asyncio.Event()
        self._loop.add_reader(connection.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_reader(connection.fileno())


def plain_peer(peer: object) -> tuple[str, int]:
    """A peer's address and port; an IPv4 address that an IPv6 socket shows is an IPv4 address."""
    if not isinstance(peer, tuple) or len(peer) < 2:
        return "unknown", 0  # gone already
    return str(peer[0]).removeprefix("::ffff:"), int(peer[1])
