"""A miner's last 24 hours as a drawing beside its figures: a bar for each hour, the highest being its own best."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from services.dashboard import quantities
from services.dashboard.kept import Kept
from services.dashboard.miners import row_key
from services.warehouse.day_history import HOURS, hourly_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.analysis import Analysis

STEP_SECONDS: Final = 600
LEVELS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
"""Heights, lowest first; "0" is an hour without an accepted share."""
_HIGHEST: Final = len(LEVELS) - 1


class Trend(Struct, frozen=True, array_like=True):
    """`best` is the hour with the greatest hash rate, H/s; `heights` has one of LEVELS for each hour."""

    best: float
    heights: str

    @property
    def path(self) -> str:
        """For an SVG in a box of 24 by 35."""
        return "".join(
            f"M{hour} {_HIGHEST}v-{height}h.8v{height}z"
            for hour, height in enumerate(map(LEVELS.index, self.heights))
            if height
        )

    @property
    def words(self) -> str:
        return f"{HOURS} h by the hour, at most {quantities.hash_rate(self.best)}"


NO_TREND: Final = Trend(0.0, LEVELS[0] * HOURS)


class Trends(Struct, frozen=True):
    """By key of the miner's row (miners.py); `at` is when the last hour ends, unix seconds."""

    at: int
    rows: dict[str, Trend]


def trend(rates: Sequence[float]) -> Trend:
    """From hash rates by the hour. An hour with a share has a bar, however low."""
    best = max(rates)
    if best <= 0:
        return NO_TREND
    return Trend(
        float(f"{best:.3g}"), "".join(LEVELS[max(1, round(rate / best * _HIGHEST)) if rate else 0] for rate in rates)
    )


def kept_trends(analysis: Analysis) -> Kept[Trends]:
    """Every miner's, asked for every ten minutes."""
    return Kept("trends", STEP_SECONDS, partial(_asked, analysis))


async def _asked(analysis: Analysis, end: int) -> Trends:
    found = await hourly_rates(analysis, end)
    return Trends(end, {row_key(worker, label): trend(rates) for (worker, label), rates in found.items()})
