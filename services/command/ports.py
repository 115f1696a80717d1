"""The ports that the stack is about to listen on, checked before anything starts."""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from services.command.mistake import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable

_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, never bound


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that a service will take, and the setting that chooses it."""

    service: str
    host: str
    port: int
    setting: str


def check(listeners: Iterable[Listener], *, patience_seconds: float = 0.0) -> None:
    """Raise Mistake, with a sentence for each, where a port is asked for twice, taken or forbidden.

    With `patience_seconds`, a port that is taken may become free within that time.
    """
    listeners = tuple(listeners)
    check_clashes(listeners)
    until = time.monotonic() + patience_seconds
    while problems := [problem for listener in listeners if (problem := _problem(listener))]:
        if time.monotonic() >= until:
            raise Mistake(*problems)
        time.sleep(0.2)


def check_clashes(listeners: tuple[Listener, ...]) -> None:
    """Raise Mistake, with a sentence for each, where a port is asked for twice."""
    if clashes := _clashes(listeners):
        raise Mistake(*clashes)


def is_of_this_machine(host: str) -> bool:
    """Whether a service here can listen on `host`; what is elsewhere is only looked for there."""
    try:
        family, kind, protocol, _, address = _resolved(host, 0)
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True


def reachable_host(host: str) -> str:
    """Where a service that listens on `host` is reached from this machine."""
    if host == "::":
        return "::1"
    return "127.0.0.1" if host in _WILDCARDS else host


def _clashes(listeners: tuple[Listener, ...]) -> list[str]:
    return [
        f"{one.setting} and {other.setting} are both {one.port}; give each a port of its own"
        for one, other in combinations(listeners, 2)
        if one.port == other.port and _overlap(one.host, other.host)
    ]


def _overlap(one: str, other: str) -> bool:
    return one == other or one in _WILDCARDS or other in _WILDCARDS


def _problem(listener: Listener) -> str | None:
    try:
        family, kind, protocol, _, address = _resolved(listener.host, listener.port)
        with socket.socket(family, kind, protocol) as probe:
            # What the services do too: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except socket.gaierror as error:
        return f"{listener.service}: the address {listener.host} is unknown ({error.strerror}); set another"
    except OSError as error:
        return _sentence(listener, error)
    return None


def _resolved(host: str, port: int) -> Any:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]


def _sentence(listener: Listener, error: OSError) -> str:
    where = f"port {listener.port} on {listener.host} ({listener.service})"
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"{where} is in use by another program; stop that one, or choose another port with {listener.setting}"
            )
        case errno.EACCES:
            return f"{where} is not open to this user; choose a port above 1023 with {listener.setting}"
        case errno.EADDRNOTAVAIL:
            return f"{where}: {listener.host} is no address of this machine; set another"
        case number:
            return f"{where}: {os.strerror(number or 0)}; choose another port with {listener.setting}"
