"""Every limit that somebody ran into is counted, and told without flooding the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter, Gauge

from services.proxy.network import network_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

log = structlog.get_logger()

_TOLD_EVERY_SECONDS: Final = 60.0
_REMEMBERED: Final = 4096

LIMIT_OF_REASON: Final = {
    "line too long": "line_bytes",
    "handshake timeout": "handshake_seconds",
    "idle": "idle_seconds",
    "slow reader": "queued_bytes",
    "not Stratum": "junk_lines",
    "TLS on the plain port": "tls_on_plain_port",
    "PROXY protocol of an untrusted address": "proxy_protocol",
    "mostly invalid shares": "invalid_shares",
}
"""Which limit stands behind a connection's end."""


class LimitHits:
    """One proxy's. A limit is told of once a minute for each address, with how often it was hit in between.

    IPv6 addresses of one /64 count as one: a host has as many of them as it likes.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._counter = Counter(
            "sharehouse_miner_limits_hit", "Limits that miners ran into", ["pool_label", "limit"], registry=registry
        )
        self._refused = Counter(
            "sharehouse_miner_connections_refused",
            "Connections shut at the door, by the limit behind it",
            ["pool_label", "reason"],
            registry=registry,
        )
        self.bans = Counter("sharehouse_miner_bans", "Addresses banned after mostly invalid shares", registry=registry)
        self.banned = Gauge("sharehouse_miner_addresses_banned", "Addresses that are banned now", registry=registry)
        self._clock = clock
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def shut_out(self, limit: str, pool_label: str, address: str, **facts: object) -> None:
        """As ``hit``, of a connection that was not let in."""
        self._refused.labels(pool_label, limit).inc()
        self.hit(limit, pool_label, address, **facts)

    def hit(self, limit: str, pool_label: str, address: str, **facts: object) -> None:
        """Counts a hit; logs it unless the same was told a moment ago. ``address`` is the peer's, without its port."""
        self._counter.labels(pool_label, limit).inc()
        key, now = (limit, network_of(address)), self._clock()
        told_at, since = self._told.get(key, (-_TOLD_EVERY_SECONDS, 0))
        if now - told_at < _TOLD_EVERY_SECONDS:
            self._told[key] = told_at, since + 1
            return
        self._told.pop(key, None)
        self._told[key] = now, 0
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        more = {"not_told": since} if since else {}
        log.warning("limit", limit=limit, pool_label=pool_label, address=address, **facts, **more)
