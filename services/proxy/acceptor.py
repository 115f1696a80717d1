"""Takes connections one by one where something comes before the first line: a PROXY header, a TLS handshake."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

import structlog

from services.stratum import message
from services.stratum.proxy_protocol import MAX_HEADER_BYTES, may_start_header, read_header
from services.stratum.reject import MALFORMED, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.certificate import Certificate
    from services.proxy.gate import Gate

    Factory = Callable[[tuple[str, int]], asyncio.Protocol]

log = structlog.get_logger()

HEADER_SECONDS: Final = 5.0
TLS_HANDSHAKE_SECONDS: Final = 10.0
_TLS_HELLO: Final = b"\x16"
_ACCEPTS_A_TURN: Final = 64
_PARTIAL_PAUSE_SECONDS: Final = 0.02
_MOST_WAITING: Final = 4096
_MOST_WAITING_OF_AN_ADDRESS: Final = 1024
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
    header is taken off the socket before there is a transport, byte for byte, so that TLS may begin right after it.
    With a ``certificate``, TLS must.
    """

    def __init__(
        self,
        listening: socket.socket,
        factory: Factory,
        trusted: TrustedNetworks,
        gate: Gate,
        pool_label: str,
        certificate: Certificate | None = None,
    ) -> None:
        self.sockets = (listening,)
        self._listening = listening
        self._factory = factory
        self._trusted = trusted
        self._gate = gate
        self._pool_label = pool_label
        self._certificate = certificate
        self._waiting: Counter[str] = Counter()
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
            if not self._may_wait(peer[0]):
                self._gate.hits.shut_out("connections", self._pool_label, peer[0], why="too many wait to be let in")
                connection.close()
                continue
            meeting = self._loop.create_task(self._meet(connection, peer))
            self._meetings.add(meeting)
            meeting.add_done_callback(self._meetings.discard)

    def _accept_again(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _may_wait(self, address: str) -> bool:
        """Nobody's unfinished handshakes may take the places of others; a balancer's are those of many."""
        if len(self._meetings) >= _MOST_WAITING:
            return False
        return self._waiting[address] < _MOST_WAITING_OF_AN_ADDRESS or address in self._trusted

    async def _meet(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        host, handed_on = peer[0], False
        self._waiting[host] += 1
        try:
            peer = (await self._real_peer(connection) if host in self._trusted else None) or peer
            if self._certificate is not None and not await self._may_begin_tls(connection, peer[0]):
                return
            handed_on = True
            await self._let_in(connection, peer)
        except (ProtocolError, TimeoutError) as error:
            why = str(error) or "a PROXY protocol header that does not end"
            self._gate.hits.shut_out("proxy_protocol", self._pool_label, host, why=why)
        except OSError as error:
            log.debug("connection_failed", pool_label=self._pool_label, miner=host, why=str(error))
        finally:
            self._waiting[host] -= 1
            if not self._waiting[host]:
                del self._waiting[host]
            if not handed_on:
                connection.close()

    async def _let_in(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        if self._certificate is None:
            await self._loop.connect_accepted_socket(lambda: self._factory(peer), connection)
            return
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._factory(peer),
                connection,
                ssl=self._certificate.context,
                ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS,
            )
        except (ssl.SSLError, OSError) as error:
            why = getattr(error, "reason", None) or str(error) or "closed"
            self._gate.hits.shut_out("tls_handshake", self._pool_label, peer[0], why=why)

    async def _may_begin_tls(self, connection: socket.socket, address: str) -> bool:
        """Looks at the first byte, and at who it is: a handshake costs more than everything before it."""
        if (refusal := self._gate.refusal(address)) is not None:
            self._gate.hits.shut_out(refusal[0], self._pool_label, address)
            return False
        first = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(TLS_HANDSHAKE_SECONDS):
                while not first:
                    await self._readable(connection)
                    with suppress(BlockingIOError):
                        first = connection.recv(1, socket.MSG_PEEK)
                        if not first:
                            return False  # gone without a word: a health check, mostly
        if first == _TLS_HELLO:
            return True
        self._gate.hits.shut_out(
            "tls_handshake", self._pool_label, address, why="plain text" if first else "nothing came"
        )
        if first:
            with suppress(OSError):
                # What is not read would turn the close into a reset, which could overtake the answer.
                connection.recv(MAX_HEADER_BYTES)
                connection.send(message.refusal(None, MALFORMED.code, "this port speaks TLS: use stratum+ssl://"))
        return False

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
