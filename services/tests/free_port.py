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
# Who was given one may not listen yet; a test that draws eight one by one would else get one twice in 0.7 % of runs.
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1, free a moment ago, and not yet given to anybody in this process."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            port = _chance.choice(_PORTS)
            if len(_given) > len(_PORTS) // 2:
                _given.clear()  # the first of them are long forgotten
            if port in _given:
                continue
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
                _given.add(port)
    return ports


def unused_port() -> int:
    """One of them."""
    return free_ports(1)[0]
