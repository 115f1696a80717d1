"""Whether the names of other machines in the configuration mean an address now; one that does not may do so later."""

from __future__ import annotations

import socket
import threading
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.command.configuration import Configuration

RESOLVE_SECONDS: Final = 3.0


def told(found: Configuration) -> dict[str, str]:
    """The hosts that the proxy and all services connect to, by the key that names them. Raises Mistake as `pools`."""
    hosts = {"CLICKHOUSE_HOST": found.settings.clickhouse_host}
    for pool in found.pools():
        hosts[f"pools.{pool.name}.host"] = pool.host
        hosts |= {
            f"pools.{pool.name}.fallbacks[{number}].host": fallback.host
            for number, fallback in enumerate(pool.fallbacks)
        }
    return hosts


def unresolved(hosts: Mapping[str, str], seconds: float = RESOLVE_SECONDS) -> list[str]:
    """A sentence for each name without an address, or without an answer in time; all are asked for at once."""
    names = {host for host in hosts.values() if not _is_address(host)}
    reasons: dict[str, str | None] = {}

    def resolve(name: str) -> None:
        try:
            socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reasons[name] = getattr(error, "strerror", None) or str(error)
        else:
            reasons[name] = None

    # The system's resolver cannot be told to hurry; threads that it holds up end with the process.
    asking = [threading.Thread(target=resolve, args=(name,), daemon=True) for name in names]
    for thread in asking:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in asking:
        thread.join(max(deadline - time.monotonic(), 0))
    answers = dict(reasons)
    return [
        f"{key}: {host} does not resolve now: {reason}"
        for key, host in hosts.items()
        if host in names and (reason := answers.get(host, f"no answer within {seconds:g} s")) is not None
    ]


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
