"""How a worker stands in an answer: the fields of its model, as plain values for the writer of JSON.

Made for each of thousands of workers while all clients wait for it: so each field is written down here once more, and
the models (models.py, periods.py) only describe the answer. A test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.api.window_figures import GIGA

if TYPE_CHECKING:
    from services.api.options import ShareValueBasis
    from services.warehouse.queries import WindowSums, WorkerPeriod, WorkerStats


def worker_figures(stats: WorkerStats, basis: ShareValueBasis) -> dict[str, Any]:
    """The fields of `WorkerFigures`."""
    last_5m, last_60m, last_24h = stats.last_5m, stats.last_60m, stats.last_24h
    is_actual = basis == "actual"
    return {
        "state": stats.state,
        "last_share": stats.last_share,
        "hash_rate_unit": "Gh/s",
        "hash_rate_scoring": 0,
        "hash_rate_5m": last_5m.hash_rate / GIGA,
        "hash_rate_60m": last_60m.hash_rate / GIGA,
        "hash_rate_24h": last_24h.hash_rate / GIGA,
        "shares_5m": last_5m.shares,
        "shares_60m": last_60m.shares,
        "shares_24h": last_24h.shares,
        "share_value_5m": last_5m.actual if is_actual else last_5m.credited,
        "share_value_60m": last_60m.actual if is_actual else last_60m.credited,
        "share_value_24h": last_24h.actual if is_actual else last_24h.credited,
        "share_value_actual_5m": last_5m.actual,
        "share_value_actual_60m": last_60m.actual,
        "share_value_actual_24h": last_24h.actual,
        "share_value_credited_5m": last_5m.credited,
        "share_value_credited_60m": last_60m.credited,
        "share_value_credited_24h": last_24h.credited,
    }


def day_figures(sums: WindowSums, basis: ShareValueBasis) -> dict[str, Any]:
    """The fields of `DayWorker`."""
    return {
        "hashrate": sums.hash_rate / GIGA,
        "hash_rate_unit": "Gh/s",
        "shares": sums.shares,
        "share_value": sums.actual if basis == "actual" else sums.credited,
        "share_value_actual": sums.actual,
        "share_value_credited": sums.credited,
    }


def period_figures(stats: WorkerPeriod, basis: ShareValueBasis) -> dict[str, Any]:
    """The fields of `PeriodWorker`."""
    return {**day_figures(stats.sums, basis), "state": stats.state, "last_share": stats.last_share}
