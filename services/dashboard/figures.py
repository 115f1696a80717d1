"""What one look into the database gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.dashboard.charts import Chart
    from services.dashboard.miners import Miner
    from services.warehouse.queries import MinerTotals, ProxyRow


@dataclass(frozen=True, slots=True)
class Figures:
    """As of `at`, unix seconds. `totals` are those of all miners' shares in the last 24 h."""

    at: int
    miners: tuple[Miner, ...]
    connections: int
    """Connections of miners to proxies that live."""
    proxies: tuple[ProxyRow, ...]
    """Every process of a proxy that told of itself in the last 24 h."""
    totals: MinerTotals
    chart: Chart

    @property
    def active(self) -> int:
        """Miners with an accepted share in the last 10 minutes."""
        return sum(miner.ok for miner in self.miners)

    @property
    def pools(self) -> int:
        """Pools with an accepted share in the last 24 h, as PoolStats.pools counts them."""
        return len({miner.pool_label for miner in self.miners if miner.shares.accepted})
