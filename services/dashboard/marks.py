"""What happened in a period, for its charts: pools that moved, reloads of the configuration, block candidates."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from services.dashboard.charts import Mark
from services.warehouse.blocks import candidates_between
from services.warehouse.pool_history import pool_changes
from services.warehouse.reload_history import reloads

if TYPE_CHECKING:
    from services.warehouse.analysis import Analysis
    from services.warehouse.reload_history import Reload

MOST: Final = 50
"""Of each kind, the latest."""


async def period_marks(
    analysis: Analysis, start: int, end: int, *, pool: str | None = None, worker: str | None = None
) -> tuple[Mark, ...]:
    """Of [start, end), unix seconds; of the pool, and of blocks of the worker, where one is named.

    Raises StoreUnavailable.
    """
    changes, candidates, told = await asyncio.gather(
        pool_changes(analysis, start, end, most=MOST),
        candidates_between(analysis, start, end, most=MOST),
        reloads(analysis, start, end),
    )
    moves = [
        Mark(one.at, f"{one.pool_label}: {one.pool_before} to {one.pool}")
        for one in reversed(changes)
        if one.moved and pool in (None, one.pool_label)
    ]
    blocks = [
        Mark(one.at, f"block candidate {one.height} of {one.worker}", "good")
        for one in candidates
        if pool in (None, one.pool_label) and worker in (None, one.worker)
    ]
    return (*moves, *reload_marks(told), *blocks)


def reload_marks(told: tuple[Reload, ...]) -> tuple[Mark, ...]:
    """One for each reload, the oldest first."""
    return tuple(
        Mark(one.at, f"configuration refused: {one.refusal}", "bad")
        if one.refusal
        else Mark(one.at, f"configuration read anew: {', '.join(one.changed_pools) or 'no pool changed'}", "accent")
        for one in reversed(told[:MOST])
    )
