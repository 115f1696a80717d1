"""Ports that nobody uses, none of them one that the kernel would give to an outgoing connection meanwhile."""

from __future__ import annotations

import contextlib
import os
import random
import socket

# Where two runs of the tests are at work at once, each has every other port.
_FIRST, _STEP = map(int, os.environ.get("TEST_PORTS", "0/1").split("/"))
_PORTS = range(12_000 + _FIRST, 32_000, _STEP)
# Not the seed that a test, or hypothesis, sets: two runs would then choose the same.
_chance = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1, free a moment ago."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            port = _chance.choice(_PORTS)
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
    return ports


def unused_port() -> int:
    """One of them."""
    return free_ports(1)[0]
