"""What the live page sets beside its figures: each miner's rate by the hour, and the same figures a day before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.warehouse.results import HASHES_PER_DIFFICULTY
from services.warehouse.share_query import ShareQuery
from services.warehouse.sums import DAY_SECONDS, day_sums

if TYPE_CHECKING:
    from services.warehouse.analysis import Analysis

HOURS: Final = 24
_HOUR: Final = 3_600
_RATES: Final = """\
SELECT worker, pool_label, sumMap(map(intDiv(toInt64(at) - {{first:Int64}}, 3600), credited))
FROM (
{rows}
)
WHERE accepted > 0
GROUP BY worker, pool_label"""


@dataclass(frozen=True, slots=True)
class DaySums:
    """Accepted shares, and how many were refused, of the 24 h that end at a moment."""

    accepted: int
    refused: int
    hash_rate_60m: float
    """H/s, of the last hour of them; so are the miners those of its last ten minutes."""
    active_miners: int
    """Worker names, on each pool by itself, with an accepted share."""
    best_share: float


async def day_before(analysis: Analysis, now: int) -> DaySums:
    """The figures that the live page showed 24 h before `now`, unix seconds.

    Raises StoreUnavailable; so does the next.
    """
    ((accepted, refused, credited, active, best),) = await analysis.rows(*day_sums(now - DAY_SECONDS))
    return DaySums(accepted, refused, credited * HASHES_PER_DIFFICULTY / _HOUR, active, best)


async def hourly_rates(analysis: Analysis, end: int) -> dict[tuple[str, str], tuple[float, ...]]:
    """H/s in each of the 24 clock hours of which the last ends at `end` or holds it, by worker and pool label.

    The last one's rate is that of its part before `end`; 0 where no share was accepted.
    """
    first = (end - 1) // _HOUR * _HOUR - (HOURS - 1) * _HOUR
    rows, bound = ShareQuery(first, end, verdict="accepted").rows(_HOUR)
    seconds = [_HOUR] * (HOURS - 1) + [end - first - (HOURS - 1) * _HOUR]
    return {
        (worker, label): tuple(
            credited.get(number, 0.0) * HASHES_PER_DIFFICULTY / seconds[number] for number in range(HOURS)
        )
        for worker, label, credited in await analysis.rows(_RATES.format(rows=rows), {"first": first, **bound})
    }
