"""The table of miners: the shares and the connections of one worker on one pool put together, as one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.dashboard import quantities
from services.dashboard.view import Cell, Row
from services.warehouse.queries import OK_SECONDS, MinerRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.warehouse.queries import SessionRow

COLUMNS = (
    ("worker", "Worker"),
    ("pool", "Pool"),
    ("state", "State"),
    ("connected", "Connected"),
    ("hash_rate", "Hash rate"),
    ("accepted", "Accepted"),
    ("rejected", "Rejected"),
    ("difficulty", "Difficulty"),
    ("last_share", "Last share"),
    ("best", "Best share"),
)
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Miner:
    """A worker on a pool: its shares of the last 24 hours, and its connections that last, the oldest first."""

    shares: MinerRow
    connections: tuple[SessionRow, ...] = ()

    @property
    def worker(self) -> str:
        return self.shares.worker

    @property
    def pool_label(self) -> str:
        return self.shares.pool_label

    @property
    def key(self) -> str:
        """Names the row; a worker's name may hold anything, so its length goes before it."""
        return f"{len(self.worker)}:{self.worker}@{self.pool_label}"

    @property
    def ok(self) -> bool:
        """Whether its last accepted share is less than 10 minutes old."""
        return self.shares.ok

    def waits(self, now: int) -> bool:
        """Whether it came so lately that its first share may still be on the way."""
        return not self.ok and any(one.connected > now - OK_SECONDS for one in self.connections)

    def row(self, now: int) -> Row:
        """Its cells at `now`, unix seconds."""
        shares, last = self.shares, int(self.shares.last_share)
        cells = {
            "worker": Cell(self.worker or "(no name yet)", self._addresses()),
            "pool": Cell(self.pool_label, ", ".join(sorted({one.pool for one in self.connections}))),
            "state": self._state(now),
            "connected": self._connected(now),
            "hash_rate": Cell(
                quantities.hash_rate(shares.hash_rate_5m),
                f"{quantities.exact(shares.hash_rate_5m)} H/s in 5 minutes,"
                f" {quantities.exact(shares.hash_rate_60m)} H/s in 60",
            ),
            "accepted": Cell(quantities.count(shares.accepted), f"{shares.accepted:,} in 24 hours"),
            "rejected": Cell(
                rejected(shares.rejected_by_reason),
                f"{quantities.percent(shares.rejected, shares.rejected + shares.accepted)} of its shares in 24 hours",
            ),
            "difficulty": self._difficulty(),
            "last_share": Cell.ago(last, now) if last else Cell("none accepted"),
            "best": Cell(quantities.si(shares.best_share), quantities.exact(shares.best_share)),
        }
        return Row(cells, silent=not (self.ok or self.waits(now)))

    def _state(self, now: int) -> Cell:
        if not self.connections:
            return Cell("○ left", "Not connected to any proxy that lives")
        if self.ok:
            return Cell(
                f"● active{_times(len(self.connections))}", "Connected, with an accepted share in the last 10 minutes"
            )
        if self.waits(now):
            return Cell("○ waiting", "Connected less than 10 minutes ago, and no accepted share yet")
        return Cell("▲ silent", "Connected, and no accepted share for 10 minutes")

    def _connected(self, now: int) -> Cell:
        if not self.connections:
            return Cell("no")
        since = Cell.ago(int(self.connections[0].connected), now)
        return Cell(since.text, f"since {since.title}; {self._addresses()}", since.unix)

    def _difficulty(self) -> Cell:
        told = self.connections[-1].difficulty if self.connections else self.shares.difficulty
        if not told:
            return Cell("–", "Not known")
        kind = "What its latest connection was told" if self.connections else "Of its last share"
        return Cell(quantities.si(told), f"{quantities.exact(told)}; {kind}")

    def _addresses(self) -> str:
        if not self.connections:
            return "not connected"
        said = [f"{one.miner} ({one.user_agent})" if one.user_agent else one.miner for one in self.connections]
        more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
        return f"{quantities.plural(len(said), 'connection')}: {', '.join(said[:_SHOWN])}{more}"


def _times(connections: int) -> str:
    return f" ×{connections}" if connections > 1 else ""


def grouped(rows: Iterable[MinerRow], sessions: Iterable[SessionRow]) -> tuple[Miner, ...]:
    """Shares and connections put together by worker and pool; the greatest hash rate first, then by name.

    A connection that authorized several workers belongs to each; one that authorized none yet has no name. Shares in
    the name of a worker that was not authorized are nobody's, so no miner's.
    """
    shares = {(row.worker, row.pool_label): row for row in rows if row.worker}
    connections: dict[tuple[str, str], list[SessionRow]] = {}
    for session in sessions:
        for worker in session.workers or ("",):
            connections.setdefault((worker, session.pool_label), []).append(session)
    miners = [
        Miner(shares.get(key) or MinerRow(*key), tuple(connections.get(key, ())))
        for key in dict.fromkeys((*shares, *connections))
    ]
    return tuple(sorted(miners, key=lambda miner: (-miner.shares.hash_rate_5m, miner.worker, miner.pool_label)))


def rejected(by_reason: Mapping[str, int]) -> str:
    """How many and why: 3 (stale 2, duplicate 1)."""
    if not by_reason:
        return "0"
    ordered = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    words = ", ".join(f"{reason.replace('_', ' ')} {quantities.count(number)}" for reason, number in ordered)
    return f"{quantities.count(sum(by_reason.values()))} ({words})"
