"""Socket options for connections that live for days."""

from __future__ import annotations

import socket
from typing import Final

# TCP_USER_TIMEOUT, in milliseconds, does for data under way what keepalive does for silence.
_OPTIONS: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 120_000))


def keep_alive(connection: socket.socket) -> None:
    """Finds peers that vanished without a word, within two minutes; small writes are not held back."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _OPTIONS:
        if (option := getattr(socket, name, None)) is not None:  # not every system has them all
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
