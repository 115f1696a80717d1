"""What is asked of the rows of several windows: by worker, over all, or as the dashboard's table shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.warehouse.moments import Moments
from services.warehouse.results import OK_SECONDS
from services.warehouse.share_rows import ACCEPTED, Columns, share_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.moments import Span

DAY_SECONDS: Final = 86_400
SETTINGS: Final = {"query_plan_enable_optimizations": 0}
"""For these statements: each condition stands where its rows are read, so rewriting the plan finds nothing, and took an
eighth of their time (docs/BENCHMARKS.md). Indexes and PREWHERE are chosen after that, as ever.
"""
_SUMS: Final = "sumIf(shares, w{n}), sumIf(credited, w{n}), sumIf(actual, w{n})"
_LAST_MS: Final = "toUnixTimestamp64Milli(max(last))"

# Refused shares too. A single share's difficulty is known of raw ones alone; five minutes are always read raw.
_ALL: Final = Columns(
    raw={
        "shares": "toUInt64(s.verdict = 'accepted')",
        "refused": "if(s.verdict = 'rejected', map(toString(s.reason), toUInt64(1)), map())",
        "credited": "if(s.verdict = 'accepted', s.pool_difficulty, 0)",
        "best": "if(s.verdict = 'accepted', s.actual_difficulty, 0)",
        "last": "if(s.verdict = 'accepted', s.ts, toDateTime64(0, 3, 'UTC'))",
        "at": "s.ts",
        "difficulty": "s.pool_difficulty",
    },
    rolled_up={
        "shares": "s.accepted",
        "refused": "s.rejected_by_reason",
        "credited": "s.credited_difficulty",
        "best": "s.best_share",
        "last": "s.last_share",
        "at": "toDateTime64(0, 3, 'UTC')",
        "difficulty": "toFloat64(0)",
    },
)


Statement = tuple[str, dict[str, int]]
"""SQL, and what it binds beside the filters' values."""


def sums_by_worker(windows: Sequence[Span], filters: str) -> Statement:
    """Rows: worker; shares, credited and actual of each window; the last share in unix ms. By name.

    A worker without an accepted share in any of them has no row.
    """
    moments = Moments()
    sql = (
        f"SELECT worker, {_sums(windows)}, {_LAST_MS}\n"
        f"FROM (\n{share_rows(windows, ACCEPTED, moments, filters)}\n)\nGROUP BY worker ORDER BY worker"
    )
    return sql, moments.bound


def sums_over_all(windows: Sequence[Span], seen: int, ok_since: int, filters: str) -> Statement:
    """One row: shares, credited and actual of each window; of the window number `seen`: how many workers had a share,
    how many of those had one later than `ok_since` (unix seconds), and the pools' labels, sorted.
    """
    moments = Moments()
    sql = (
        f"SELECT {_sums(windows)}, uniqExactIf(worker, w{seen}),"
        f" uniqExactIf(worker, w{seen} AND last > toDateTime64({moments.parameter(ok_since)}, 3, 'UTC')),"
        f" arraySort(groupUniqArrayIf(toString(pool_label), w{seen}))\n"
        f"FROM (\n{share_rows(windows, ACCEPTED, moments, filters)}\n)"
    )
    return sql, moments.bound


def worker_table(now: int) -> Statement:
    """Rows: worker, pool label; shares; refused by reason; credited in 5 minutes and in 60; last accepted share in unix
    ms; best share; difficulty of the last share of the last 5 minutes, or 0. All over the 24 h that end at `now`.
    """
    windows = [(now - DAY_SECONDS, now), (now - 300, now), (now - 3_600, now)]
    moments = Moments()
    sql = (
        "SELECT worker, pool_label, sumIf(shares, w0), sumMapIf(refused, w0), sumIf(credited, w1), sumIf(credited, w2),"
        f" {_LAST_MS}, maxIf(best, w0), argMaxIf(difficulty, at, w1)\n"
        f"FROM (\n{share_rows(windows, _ALL, moments)}\n)\n"
        "GROUP BY worker, pool_label ORDER BY worker, pool_label"
    )
    return sql, moments.bound


def day_sums(end: int) -> Statement:
    """One row: accepted shares and refused ones of the 24 h before `end`; credited of the hour before it; workers, on
    each pool by itself, with an accepted share in the last ten minutes of it; best share of the 24 h.
    """
    windows = [(end - DAY_SECONDS, end), (end - 3_600, end), (end - OK_SECONDS, end)]
    moments = Moments()
    sql = (
        "SELECT sumIf(shares, w0), sumIf(arraySum(mapValues(refused)), w0), sumIf(credited, w1),"
        " uniqExactIf((worker, pool_label), w2 AND shares > 0 AND worker != ''), maxIf(best, w0)\n"
        f"FROM (\n{share_rows(windows, _ALL, moments)}\n)"
    )
    return sql, moments.bound


def _sums(windows: Sequence[tuple[int, int]]) -> str:
    return ", ".join(_SUMS.format(n=number) for number in range(len(windows)))
