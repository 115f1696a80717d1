"""What a proxy is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from services.proxy.endpoint import PoolEndpoint
from services.proxy.patience import Patience
from services.proxy.vardiff import VardiffOptions

if TYPE_CHECKING:
    from pathlib import Path

    from services.warehouse.address import ClickHouseAddress

Mode = Literal["dedicated", "shared"]
KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """One ``[pools.NAME]`` table and the port that miners reach it by. ``fallbacks`` are tried in order."""

    name: str
    listen_port: int
    host: str
    port: int
    user: str
    password: str = field(default="x", repr=False)
    tls_listen_port: int | None = None
    """For miners that speak TLS (``stratum+ssl``), besides ``listen_port``."""
    fallbacks: tuple[PoolEndpoint, ...] = ()
    tls: bool = False
    """Whether the pool itself speaks TLS at ``host``."""
    mode: Mode = "dedicated"
    """Whether each miner has a pool connection of its own, or many work on one."""
    vardiff: VardiffOptions = field(default_factory=VardiffOptions)
    """How a miner's difficulty is chosen in shared mode; in dedicated mode the pool does it."""
    reconnect_hosts: tuple[str, ...] = ()
    """Hosts to which client.reconnect may lead, besides those of ``endpoints``; "*.pool.com" is all below it."""

    @property
    def ports(self) -> dict[bool, int]:
        """Where miners arrive, by whether they speak TLS there."""
        return {False: self.listen_port} | ({} if self.tls_listen_port is None else {True: self.tls_listen_port})

    @property
    def endpoints(self) -> tuple[PoolEndpoint, ...]:
        """The first address and the fallbacks."""
        return (PoolEndpoint(self.host, self.port, self.user, self.password, self.tls), *self.fallbacks)

    def may_lead_to(self, host: str) -> bool:
        """Whether the pool may send us to ``host``: one of its own, or one that the operator allows."""
        asked = host.lower()
        allowed = (*(endpoint.host.lower() for endpoint in self.endpoints), *map(str.lower, self.reconnect_hosts))
        return any(asked == one or (one.startswith("*.") and asked.endswith(one[1:])) for one in allowed)


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """PEM files: the certificate with its chain, and its private key without a password."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one peer can cost; per connection unless said otherwise.

    Told to operators in docs/LIMITS.md.
    """

    connections: int = 20_000
    """On one listening port."""
    connections_per_address: int = 5_000
    """Of one address, or one IPv6 /64, on all ports; farms stand behind one address."""
    messages_per_second: float = 500.0
    """In the long run; ten seconds' worth may come at once. Beyond it nothing is read for a while."""
    line_bytes: int = 16 * KIB
    handshake_seconds: float = 60.0
    """From the connection to mining.subscribe."""
    idle_seconds: float = 7200.0
    """Without a line from the miner."""
    unanswered_requests: int = 1000
    """Beyond it nothing more is read from the miner until answers have gone out."""
    queued_bytes: int = MIB
    """Waiting for a slow reader, who is then cut off."""
    workers: int = 32
    new_workers_a_day: int = 50_000
    """Worker names that this proxy did not see on this day (UTC) or the one before; beyond it they are refused."""
    junk_lines: int = 10
    unauthorized_rows: int = 10
    """Rows a minute of submits in a name that the connection did not authorize; the rest is only counted. All
    connections of a proxy together: a hundred times as many."""
    invalid_shares: float = 100.0
    """So many, and more than half of all, within about ``ban_window_seconds``: the address is banned."""
    ban_window_seconds: float = 300.0
    """In that time an old share loses half its weight."""
    ban_seconds: float = 600.0
    jobs_kept: int = 16
    """At least; four times as many of the current block where its pool sent them within five minutes."""
    verdict_timeout_seconds: float = 30.0
    """How long a pool's verdict on a share is waited for."""
    pool_line_bytes: int = 4 * MIB
    """The longest line that a pool may send."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"limit {name} must be above 0, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """Everything that ``serve`` needs. A port of 0 takes a free one.

    ``name`` is recorded with each share; ``spool`` is the folder of spool segments, which together hold at most
    ``spool_max_bytes``. Metrics and probes are served on ``metrics_host:metrics_port``.
    """

    name: str
    pools: tuple[PoolOptions, ...]
    spool: Path
    clickhouse: ClickHouseAddress
    host: str = "0.0.0.0"  # noqa: S104 - miners come from elsewhere
    spool_max_bytes: int = 4096 * MIB
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9333
    limits: Limits = field(default_factory=Limits)
    tls: TlsOptions | None = None
    """Needed where a pool has a ``tls_listen_port``."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of load balancers, who may begin a connection with a PROXY protocol header and are believed."""
    patience: Patience = field(default_factory=Patience)
    worker: int = 0
    """Number, from 0, of this process among ``workers`` processes that take miners on the same ports."""
    workers: int = 1
    probes: Path | None = None
    """A Unix socket to serve metrics and probes on, instead of ``metrics_host:metrics_port``."""
    keeps_spare: bool = True
    """Whether one pool connection more than there are miners stands ready for the next one."""
    silence_seconds: float = 30.0
    """With nothing new from the pool for so long, the current job is sent again."""
    drain_seconds: float = 3.0
    """How long a stop waits for the pools' verdicts on shares in flight, and again for the shipper."""

    def for_worker(self, number: int, workers: int, probes: Path) -> ProxyOptions:
        """One process' of several, numbered from 1; it is recorded as "name/number"."""
        return replace(self, name=f"{self.name}/{number}", worker=number - 1, workers=workers, probes=probes)

    def __post_init__(self) -> None:
        labels = [pool.name for pool in self.pools]
        if not labels:
            raise ValueError("a proxy needs at least one pool")
        if len(set(labels)) < len(labels):
            raise ValueError(f"two pools have the same name: {', '.join(labels)}")
        ports = [port for pool in self.pools for port in (pool.listen_port, pool.tls_listen_port) if port]
        if len(set(ports)) < len(ports):
            raise ValueError(f"two pools listen on the same port: {', '.join(map(str, ports))}")
        if self.tls is None and any(pool.tls_listen_port is not None for pool in self.pools):
            raise ValueError("a pool listens for TLS, and there is no certificate")
