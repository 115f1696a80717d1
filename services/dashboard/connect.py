"""What a new operator enters in a miner: the address as seen from where the page is read."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.dashboard.options import is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.dashboard.options import StratumEndpoint

_WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


@dataclass(frozen=True, slots=True)
class StratumLine:
    """A pool's name and the exact URL for the miner."""

    pool: str
    url: str


def stratum_lines(endpoints: Sequence[StratumEndpoint], page_host: str) -> tuple[list[StratumLine], str]:
    """The lines for each pool, and a note for people where one is needed.

    A proxy on every address is reached under the name that the page was opened with; if that is a loopback name, a
    miner on another machine needs this machine's own address instead.
    """
    own = page_host if page_host and not is_loopback(page_host) else _own_address()
    lines = [
        StratumLine(
            endpoint.pool,
            f"stratum+tcp://{_in_url(own if endpoint.host in _WILDCARDS else endpoint.host)}:{endpoint.port}",
        )
        for endpoint in endpoints
    ]
    if any(is_loopback(endpoint.host) for endpoint in endpoints):
        return lines, "The proxy listens on this machine only: set PROXY_HOST=0.0.0.0 to let miners elsewhere in."
    return lines, ""


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _own_address() -> str:
    """The address this machine has towards others; connecting a datagram socket chooses it and sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
