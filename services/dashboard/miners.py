"""The table of miners: connections of one worker on one pool put together, as one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.dashboard import quantities
from services.dashboard.view import Cell, Row
from services.warehouse.queries import MinerTotals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.warehouse.queries import MinerRow

COLUMNS = (
    ("worker", "Worker"),
    ("pool", "Pool"),
    ("state", "State"),
    ("hash_rate", "Hash rate"),
    ("accepted", "Accepted"),
    ("rejected", "Rejected"),
    ("difficulty", "Miner difficulty"),
    ("last_share", "Last share"),
    ("best", "Best share"),
)
_ADDRESSES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Miner:
    """A worker on a pool, over the last 24 hours, all its connections together."""

    worker: str
    pool_label: str
    latest: MinerRow
    """The connection that had the last share."""
    connections: tuple[MinerRow, ...]
    totals: MinerTotals

    @property
    def key(self) -> str:
        """Names the row; a worker's name may hold anything, so its length goes before it."""
        return f"{len(self.worker)}:{self.worker}@{self.pool_label}"

    @property
    def ok(self) -> bool:
        """Whether its last accepted share is less than 10 minutes old."""
        return self.totals.ok_miners > 0

    def row(self, now: int) -> Row:
        """Its cells at `now`, unix seconds."""
        totals, last = self.totals, int(self.totals.last_share)
        cells = {
            "worker": Cell(self.worker or "(no name)", self._addresses()),
            "pool": Cell(self.pool_label, self.latest.pool),
            "state": Cell("● active") if self.ok else Cell("▲ silent", "No accepted share for 10 minutes"),
            "hash_rate": Cell(
                quantities.hash_rate(totals.hash_rate_5m),
                f"{quantities.exact(totals.hash_rate_5m)} H/s in 5 minutes,"
                f" {quantities.exact(totals.hash_rate_60m)} H/s in 60",
            ),
            "accepted": Cell(quantities.count(totals.accepted), f"{totals.accepted:,} in 24 hours"),
            "rejected": Cell(
                rejected(totals.rejected_by_reason),
                f"{quantities.percent(totals.rejected, totals.rejected + totals.accepted)} of its shares in 24 hours",
            ),
            "difficulty": Cell(
                quantities.si(self.latest.difficulty),
                f"{quantities.exact(self.latest.difficulty)}; the pool asked for"
                f" {quantities.exact(self.latest.pool_requested_difficulty)}",
            ),
            "last_share": Cell.ago(last, now) if last else Cell("none accepted"),
            "best": Cell(quantities.si(totals.best_share), quantities.exact(totals.best_share)),
        }
        return Row(cells, silent=not self.ok)

    def _addresses(self) -> str:
        active = [connection.miner for connection in self.connections if connection.ok]
        shown = ", ".join(active[:_ADDRESSES_SHOWN])
        more = f" and {len(active) - _ADDRESSES_SHOWN} more" if len(active) > _ADDRESSES_SHOWN else ""
        return f"{quantities.plural(len(active), 'active connection')}: {shown}{more}" if active else "not connected"


def grouped(rows: Iterable[MinerRow]) -> tuple[Miner, ...]:
    """Rows put together by worker and pool; the greatest hash rate first, then by name."""
    groups: dict[tuple[str, str], list[MinerRow]] = {}
    for row in rows:
        groups.setdefault((row.worker, row.pool_label), []).append(row)
    miners = [
        Miner(worker, pool, max(own, key=lambda row: row.last_share), tuple(own), MinerTotals.of(own))
        for (worker, pool), own in groups.items()
    ]
    return tuple(sorted(miners, key=lambda miner: (-miner.totals.hash_rate_5m, miner.worker, miner.pool_label)))


def rejected(by_reason: Mapping[str, int]) -> str:
    """How many and why: 3 (stale 2, duplicate 1)."""
    if not by_reason:
        return "0"
    ordered = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    words = ", ".join(f"{reason.replace('_', ' ')} {quantities.count(number)}" for reason, number in ordered)
    return f"{quantities.count(sum(by_reason.values()))} ({words})"
