"""Meets a connection that was just taken: lets it in as a miner's, or says why not and shuts it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from services.proxy.acceptor import plain_peer
from services.proxy.miner_connection import MinerConnection
from services.stratum import message
from services.stratum.reject import MALFORMED

if TYPE_CHECKING:
    from services.proxy.pool import Pool

_SHUT_SECONDS: Final = 2.0
_MOST_PARTING: Final = 256
"""So many may take their time to read why they are not let in; a flood of more is shut at once."""


class Door(asyncio.Protocol):
    """One for each connection, and gone as soon as it is let in. ``peer`` is told where the socket does not know it.

    ``parting`` holds those that were told why not, and have not gone yet.
    """

    def __init__(
        self,
        pool: Pool,
        connections: set[MinerConnection],
        parting: set[asyncio.Transport],
        peer: tuple[str, int] | None = None,
    ) -> None:
        self._pool = pool
        self._connections = connections
        self._parting = parting
        self._peer = peer
        self._transport: asyncio.Transport | None = None

    # uvloop's transports have the interface of asyncio.Transport without being one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = self._peer or plain_peer(transport.get_extra_info("peername"))
        if (refusal := self._refusal(peer[0])) is None:
            connection = MinerConnection(self._pool, self._connections, peer)
            transport.set_protocol(connection)
            connection.connection_made(transport)
            return
        limit, why = refusal
        self._pool.gate.hits.shut_out(limit, self._pool.options.name, peer[0])
        transport.write(message.refusal(None, MALFORMED.code, why))
        if transport.can_write_eof() and len(self._parting) < _MOST_PARTING:
            # Miners speak as soon as they are connected: a close at once would be a reset, which overtakes our reason.
            self._transport = transport
            self._parting.add(transport)
            transport.write_eof()
        else:
            transport.close()
        # Somebody who does not even read that must not stay.
        asyncio.get_running_loop().call_later(_SHUT_SECONDS, transport.abort)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._parting.discard(self._transport)

    def _refusal(self, address: str) -> tuple[str, str] | None:
        if len(self._connections) >= self._pool.limits.connections:
            return "connections", "too many connections"
        return self._pool.gate.refusal(address)
