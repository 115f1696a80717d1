"""Who is connected: the rows of table `sessions`, each again only where something changed, every 10 s at most.

What ClickHouse did not take is told again, as it is by then; so an outage costs nothing but the connections that ended
during it beyond ENDED_KEPT.
"""

from __future__ import annotations

import math
import time
from itertools import count
from typing import TYPE_CHECKING, Final

from services.warehouse.proxy_state import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.proxy.miner import Miner

EVERY_SECONDS: Final = 10.0
ENDED_KEPT: Final = 20_000
RATE_SECONDS: Final = 300.0
"""The hash rate is an average that forgets with this time constant."""
_HASHES_PER_DIFFICULTY: Final = 2**32
_FELL: Final = 0.75
_NOTHING: Final = 1e-3
_LEAST_AGE_SECONDS: Final = 10.0


class _Entry:
    """One connection. ``told`` is what its last row said, as far as that can change."""

    __slots__ = (
        "connected_ms",
        "credit",
        "credit_seen",
        "miner",
        "number",
        "rate_told",
        "seen_at",
        "since",
        "told",
        "told_at",
    )

    def __init__(self, miner: Miner, number: int, now: float) -> None:
        self.miner = miner
        self.number = number
        self.connected_ms = time.time_ns() // 1_000_000
        self.since = self.seen_at = now
        self.told: tuple[object, ...] = ()
        # The first row waits a moment, until subscribe and authorize are through.
        self.told_at = now - EVERY_SECONDS + 1.0
        self.credit = self.credit_seen = self.rate_told = 0.0

    def hash_rate(self, now: float) -> float:
        """H/s."""
        credited = self.miner.shares.credited
        if credited or self.credit:
            self.credit = self.credit * math.exp((self.seen_at - now) / RATE_SECONDS) + credited - self.credit_seen
            self.credit_seen = credited
        self.seen_at = now
        # A young connection has not had the time to fill the average.
        age = max(now - self.since, _LEAST_AGE_SECONDS)
        return self.credit * _HASHES_PER_DIFFICULTY / (RATE_SECONDS * (1 - math.exp(-age / RATE_SECONDS)))


class SessionBook:
    """One process's connections. ``proxy`` and ``instance`` name it in every row; ``clock`` is monotonic."""

    def __init__(self, proxy: str, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.ended_dropped = 0
        """Connections whose last row was given up because too many ended while ClickHouse was away."""
        self._proxy = proxy
        self._instance = instance
        self._clock = clock
        self._numbers = count(1)
        self._open: dict[Miner, _Entry] = {}
        self._ended: dict[int, Session] = {}

    def begin(self, miner: Miner) -> None:
        """Notes a new connection."""
        self._open[miner] = _Entry(miner, next(self._numbers), self._clock())

    def end(self, miner: Miner, reason: str) -> None:
        """Notes the end of a connection."""
        entry = self._open.pop(miner, None)
        if entry is None:
            return
        if len(self._ended) >= ENDED_KEPT:
            del self._ended[next(iter(self._ended))]
            self.ended_dropped += 1
        self._ended[entry.number] = self._row(entry, self._clock(), reason)

    def entries(self) -> list[_Entry]:
        """The connections that are open, for ``due`` to look at in portions."""
        return list(self._open.values())

    def due(self, entries: Sequence[_Entry]) -> list[tuple[_Entry, Session]]:
        """Those of the entries that are to be told again, with their rows."""
        now = self._clock()
        found = []
        for entry in entries:
            if now - entry.told_at < EVERY_SECONDS or entry.miner not in self._open:
                continue
            row = self._row(entry, now)
            # A rate falls by itself, without an event; a step of a quarter is told.
            if _facts(row) != entry.told or row.hash_rate < _FELL * entry.rate_told:
                found.append((entry, row))
            else:
                entry.told_at = now
        return found

    def ended(self) -> list[Session]:
        """The last rows of connections that have ended and are not told yet."""
        return list(self._ended.values())

    def took(self, told: Sequence[tuple[_Entry, Session]], ended: Sequence[Session]) -> None:
        """ClickHouse has these."""
        now = self._clock()
        for entry, row in told:
            # What changed while the row was under way differs from it, and is due again.
            entry.told = _facts(row)
            entry.told_at = now
            entry.rate_told = row.hash_rate if row.hash_rate > _NOTHING else 0.0
        for row in ended:
            self._ended.pop(row.connection, None)

    def _row(self, entry: _Entry, now: float, ended: str = "") -> Session:
        miner, shares = entry.miner, entry.miner.shares
        now_ms = time.time_ns() // 1_000_000
        return Session(
            updated_ms=now_ms,
            proxy=self._proxy,
            instance=self._instance,
            connection=entry.number,
            pool_label=miner.pool.name,
            pool=miner.pool_address,
            miner=miner.address,
            workers=tuple(miner.workers),
            user_agent=miner.user_agent,
            connected_ms=entry.connected_ms,
            disconnected_ms=now_ms if ended else None,
            disconnect_reason=ended,
            difficulty=miner.difficulty_told,
            last_share_ms=shares.last_accepted_ms or None,
            accepted=shares.accepted,
            rejected_by_reason=dict(shares.rejected_by_reason),
            hash_rate=0.0 if ended else entry.hash_rate(now),
            pool_difficulty=miner.pool_difficulty,
            best_share=shares.best_difficulty,
            last_share_difficulty=shares.last_difficulty,
        )


def _facts(row: Session) -> tuple[object, ...]:
    """What makes a row worth telling."""
    rejected = sum(row.rejected_by_reason.values())
    return row.accepted, rejected, len(row.workers), row.user_agent, row.difficulty, row.pool_difficulty, row.pool
