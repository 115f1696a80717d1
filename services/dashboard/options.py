"""What the dashboard is told at its start."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from services.warehouse.address import ClickHouseAddress
from services.warehouse.analysis import DEADLINE_SECONDS


class DashboardOptionError(ValueError):
    """A setting of the dashboard that cannot stand; the text names it and says the remedy."""


@dataclass(frozen=True, slots=True)
class StratumEndpoint:
    """Where miners of one pool connect: the address the proxy listens on, as configured (a wildcard is allowed).

    `upstream` is the pool's own first address, "host:port", and `user` who the proxy is there; '' if not known.
    """

    pool: str
    host: str
    port: int
    upstream: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class DashboardOptions:
    """Settings of one dashboard process.

    With a `password` (DASHBOARD_PASSWORD) or `tokens` (DASHBOARD_TOKENS) every page asks for one of them; without any
    the dashboard opens on a loopback address only. `stratum` is what the page tells a new operator to enter in a miner;
    `interval_seconds` is the time between two looks into the database, shared by all open pages; `analysis_seconds` is
    how long a page that analyses waits for an answer. `trusted_proxies` (TRUSTED_PROXIES) are addresses and networks
    whose X-Forwarded-For is believed. Raises DashboardOptionError for a value that cannot stand.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    clickhouse: ClickHouseAddress = field(default_factory=ClickHouseAddress)
    password: str = field(default="", repr=False)
    tokens: tuple[str, ...] = field(default=(), repr=False)
    stratum: tuple[StratumEndpoint, ...] = ()
    interval_seconds: float = 2.0
    analysis_seconds: float = DEADLINE_SECONDS
    trusted_proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.password or self.tokens) and not is_loopback(self.host):
            raise DashboardOptionError(
                f"DASHBOARD_HOST is {self.host}, which others can reach, and there is no password:"
                " set DASHBOARD_PASSWORD, or leave DASHBOARD_HOST at 127.0.0.1"
            )
        if not 0.1 <= self.interval_seconds <= 60:
            raise DashboardOptionError(f"interval_seconds is {self.interval_seconds}: it must be from 0.1 to 60")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`: `localhost`, a name below it, or a loopback address."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
