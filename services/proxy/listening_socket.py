"""The socket that a listener takes connections from."""

from __future__ import annotations

import socket
from typing import Final

BACKLOG: Final = 4096


def listening_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Bound and listening. "::" is every address, IPv4 too. ``shared``: other processes listen there as well.

    Raises OSError where the address or the port cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
