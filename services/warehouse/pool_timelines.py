"""What went to each pool over the last hours, step by step: the live page's history, asked once for all pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.warehouse.results import HASHES_PER_DIFFICULTY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.warehouse.analysis import Analysis
    from services.warehouse.share_query import ShareQuery

_SQL: Final = """\
SELECT pool_label, intDiv(toInt64(at) - {{first:Int64}}, {{step:Int64}}) AS number, sum(accepted), sumMap(refused),
    sum(credited)
FROM (
{rows}
)
GROUP BY pool_label, number"""


@dataclass(frozen=True, slots=True)
class PoolStep:
    """One pool's shares in one step."""

    accepted: int
    rejected_by_reason: Mapping[str, int]
    hash_rate: float
    """H/s."""


async def pool_timelines(analysis: Analysis, query: ShareQuery, step_seconds: int) -> dict[str, dict[int, PoolStep]]:
    """By pool label and number of the step; the query's period is whole steps. Raises StoreUnavailable."""
    rows, bound = query.rows(step_seconds)
    bound = {"first": query.start, "step": step_seconds, **bound}
    found: dict[str, dict[int, PoolStep]] = {}
    for label, number, accepted, refused, credited in await analysis.rows(_SQL.format(rows=rows), bound):
        rate = credited * HASHES_PER_DIFFICULTY / step_seconds
        found.setdefault(label, {})[number] = PoolStep(accepted, refused, rate)
    return dict(sorted(found.items()))
