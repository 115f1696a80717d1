"""What one look into the database gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.warehouse.queries import OK_SECONDS

if TYPE_CHECKING:
    from services.dashboard.miners import Miner
    from services.warehouse.queries import MinerTotals, ProxyRow, SessionRow


@dataclass(frozen=True, slots=True)
class Figures:
    """As of `at`, unix seconds. `totals` are those of all shares in the last 24 h, also of workers that nobody is."""

    at: int
    miners: tuple[Miner, ...]
    sessions: tuple[SessionRow, ...]
    """Connections of miners to proxies that live, the oldest first."""
    proxies: tuple[ProxyRow, ...]
    """Every process of a proxy that told of itself in the last 24 h."""
    totals: MinerTotals

    @property
    def connections(self) -> int:
        return len(self.sessions)

    @property
    def active(self) -> int:
        """Miners with an accepted share in the last 10 minutes."""
        return sum(miner.last_share > self.at - OK_SECONDS for miner in self.miners)

    @property
    def pools(self) -> int:
        """Pools with an accepted share in the last 24 h, as PoolStats.pools counts them."""
        return len({miner.pool for miner in self.miners if miner.accepted})
