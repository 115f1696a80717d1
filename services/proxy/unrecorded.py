"""Shares that could not be recorded, counted by worker until ClickHouse can be told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from services.warehouse.proxy_state import Unrecorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.records import Share

WORKERS_KEPT: Final = 10_000
OTHERS: Final = ""
"""Whom the shares of further workers are counted for."""
MOST_ROWS: Final = 1_000


class _Count:
    __slots__ = ("accepted", "difficulty_accepted", "first_ms", "last_ms", "rejected")

    def __init__(self, now_ms: int) -> None:
        self.accepted = self.rejected = 0
        self.difficulty_accepted = 0.0
        self.first_ms = self.last_ms = now_ms


class UnrecordedShares:
    """One process's. ``proxy`` and ``instance`` name it in every row."""

    def __init__(self, proxy: str, instance: str) -> None:
        self._proxy = proxy
        self._instance = instance
        self._counts: dict[tuple[str, str], _Count] = {}
        self._untold: dict[tuple[str, str], None] = {}

    def note(self, share: Share) -> None:
        """Counts a share that is lost."""
        key = (share.pool_label, share.worker)
        if key not in self._counts and len(self._counts) >= WORKERS_KEPT:
            key = (share.pool_label, OTHERS)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(share.ts_ms)
        count.first_ms = min(count.first_ms, share.ts_ms)
        count.last_ms = max(count.last_ms, share.ts_ms)
        count.accepted += share.accepted
        count.rejected += not share.accepted
        count.difficulty_accepted += share.pool_difficulty if share.accepted else 0.0
        self._untold[key] = None

    def due(self) -> list[Unrecorded]:
        """Totals that grew since they were told, as many as one write should take."""
        now_ms = time.time_ns() // 1_000_000
        return [self._row(key, now_ms) for key in list(self._untold)[:MOST_ROWS]]

    def took(self, told: Sequence[Unrecorded]) -> None:
        """ClickHouse has these; what grew while they were under way is due again."""
        for row in told:
            key = (row.pool_label, row.worker)
            count = self._counts[key]
            if count.accepted == row.accepted and count.rejected == row.rejected:
                self._untold.pop(key, None)

    def _row(self, key: tuple[str, str], now_ms: int) -> Unrecorded:
        count = self._counts[key]
        pool_label, worker = key
        return Unrecorded(
            updated_ms=now_ms,
            proxy=self._proxy,
            instance=self._instance,
            pool_label=pool_label,
            worker=worker,
            first_ms=count.first_ms,
            last_ms=count.last_ms,
            accepted=count.accepted,
            rejected=count.rejected,
            difficulty_accepted=count.difficulty_accepted,
        )
