"""A card for each pool: how it is, where it is, and what goes through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.dashboard import quantities
from services.dashboard.view import Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.dashboard.figures import Figures
    from services.dashboard.options import StratumEndpoint
    from services.warehouse.queries import ProxyPool

# Name of the cell (behind the pool's label and a colon), and what stands before it.
FIELDS: Final = (
    ("host", "Pool"),
    ("user", "User"),
    ("port", "Proxy port"),
    ("connected", "Connected since"),
    ("latency", "Latency"),
    ("miners", "Miners"),
    ("hash_rate", "Hashrate"),
    ("accepted", "Accepted"),
)
_UNKNOWN: Final = Cell("–", "Not known")
_STATES: Final = {
    "ready": Cell("● ready", "At least one connection to the pool works"),
    "away": Cell("■ away", "Miners wait, and no connection to the pool works"),
    "idle": Cell("○ idle", "No miner needs it now"),
    "failover": Cell("▲ failover", "The pool's first address does not work; another one is in use"),
    "": Cell("○ unknown", "No proxy that lives tells of it"),
}


def pool_labels(endpoints: Sequence[StratumEndpoint], figures: Figures | None) -> tuple[str, ...]:
    """Every pool that is configured here, or that a living proxy tells of, or that had a share in 24 h."""
    labels = dict.fromkeys(endpoint.pool for endpoint in endpoints)
    if figures is not None:
        told = {pool.pool_label for proxy in figures.proxies if proxy.alive for pool in proxy.pools}
        labels |= dict.fromkeys(sorted(told | {miner.pool for miner in figures.miners if miner.pool}))
    return tuple(labels)


def pool_cells(endpoints: Sequence[StratumEndpoint], figures: Figures | None) -> dict[str, Cell]:
    """The cells of all cards, by label and field."""
    configured = {endpoint.pool: endpoint for endpoint in endpoints}
    return {
        f"{label}:{name}": cell
        for label in pool_labels(endpoints, figures)
        for name, cell in _card(label, configured.get(label), figures).items()
    }


def _card(label: str, endpoint: StratumEndpoint | None, figures: Figures | None) -> dict[str, Cell]:
    said = {
        "port": Cell(str(endpoint.port)) if endpoint else _UNKNOWN,
        "user": Cell(endpoint.user, endpoint.user) if endpoint and endpoint.user else _UNKNOWN,
    }
    if figures is None:
        host = Cell(endpoint.upstream, "Its first address") if endpoint and endpoint.upstream else _UNKNOWN
        return dict.fromkeys(("state", *dict(FIELDS)), _UNKNOWN) | said | {"host": host}
    told = [pool for proxy in figures.proxies if proxy.alive for pool in proxy.pools if pool.pool_label == label]
    state = _state(told, endpoint.upstream if endpoint else "")
    addresses = ", ".join(sorted({pool.pool for pool in told})) or (endpoint.upstream if endpoint else "")
    first = f"; the first address is {endpoint.upstream}" if endpoint and state == "failover" else ""
    since = min((pool.connected for pool in told if pool.connected), default=None)
    latencies = [pool.latency_seconds for pool in told if pool.latency_seconds]
    latency = sum(latencies) / len(latencies) if latencies else 0.0
    mined = [miner for miner in figures.miners if miner.pool == label]
    accepted, rejected = sum(miner.accepted for miner in mined), sum(miner.rejected_count for miner in mined)
    rate = sum(miner.hash_rate for miner in mined)
    return said | {
        "state": _STATES[state],
        "host": Cell(addresses, addresses + first) if addresses else _UNKNOWN,
        "connected": Cell.ago(int(since), figures.at) if since else Cell("no"),
        "latency": Cell(f"{latency * 1000:.3g} ms", "How long it took to answer shares of late")
        if latency
        else _UNKNOWN,
        "miners": Cell(quantities.count(sum(pool.miners for pool in told))),
        "hash_rate": Cell(quantities.hash_rate(rate), f"{quantities.exact(rate)} H/s, of five minutes"),
        "accepted": Cell(
            f"{quantities.count(accepted)} ({quantities.percent(accepted, accepted + rejected)})",
            f"{accepted:,} accepted, {rejected:,} refused in 24 hours",
        ),
    }


def _state(told: Sequence[ProxyPool], preferred: str) -> str:
    states = {pool.state for pool in told}
    if "away" in states:
        return "away"
    if preferred and any(pool.pool != preferred for pool in told):
        return "failover"
    return "ready" if "ready" in states else "idle" if states else ""
