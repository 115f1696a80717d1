"""The one query that sums accepted shares over several windows at once: a single scan of each table that is needed.

A UNION of a SELECT per window and table says the same, but reads a share once per window that it falls in: 94 ms of CPU
against 58 for the four windows of a pool, 600,000 shares in the last two hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from services.warehouse.windows import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.windows import Source

Key = Literal["pool_label", "worker"]

_BUCKETS: Final = "s.bucket >= toDateTime({{start{n}:Int64}}, 'UTC') AND s.bucket < toDateTime({{end{n}:Int64}}, 'UTC')"
_RANGE: Final[dict[Source, str]] = {
    "shares": "s.ts >= toDateTime64({{start{n}:Int64}}, 3, 'UTC') AND s.ts < toDateTime64({{end{n}:Int64}}, 3, 'UTC')",
    "shares_10m": _BUCKETS,
    "shares_1h": _BUCKETS,
}
_RAW_SUMS: Final = ("countIf({when})", "sumIf(s.pool_difficulty, {when})", "sumIf(s.actual_difficulty, {when})")
_ROLLED_UP_SUMS: Final = (
    "sumIf(s.accepted, {when})",
    "sumIf(s.credited_difficulty, {when})",
    "sumIf(s.actual_difficulty, {when})",
)
_NOTHING: Final = ("toUInt64(0)", "toFloat64(0)", "toFloat64(0)")


def sums_query(
    windows: Sequence[tuple[int, int]], key: Key, *, pool: str | None, worker: str | None
) -> tuple[str, dict[str, Any]]:
    """SQL and its parameters. Rows: the key; shares, credited and actual per window; the last share in unix ms.

    `windows` are half open, in unix seconds. A key without an accepted share in any of them has no row.
    """
    filters, parameters = share_filters(pool, worker)
    conditions: dict[Source, dict[int, list[str]]] = {}
    for window, (start, end) in enumerate(windows):
        for piece in pieces(start, end):
            n = len(parameters)
            parameters |= {f"start{n}": piece.start, f"end{n}": piece.end}
            in_source = conditions.setdefault(piece.source, {})
            in_source.setdefault(window, []).append(f"({_RANGE[piece.source].format(n=n)})")
    union = "\nUNION ALL\n".join(
        _select(source, by_window, len(windows), key, filters) for source, by_window in conditions.items()
    )
    totals = ", ".join(f"sum({name})" for name in _names(len(windows)))
    found = " + ".join(f"sum(shares{window})" for window in range(len(windows)))
    sql = (
        f"SELECT {key}, {totals}, toUnixTimestamp64Milli(max(last))\nFROM (\n{union}\n)\n"
        f"GROUP BY {key}\nHAVING {found} > 0\nORDER BY {key}"
    )
    return sql, parameters


def share_filters(pool: str | None, worker: str | None) -> tuple[str, dict[str, Any]]:
    """Conditions on the table called s, each with an AND in front, and their values to be bound."""
    text = ""
    bound: dict[str, Any] = {}
    if pool is not None:
        text += " AND s.pool_label = {pool:String}"
        bound["pool"] = pool
    if worker is not None:
        text += " AND s.worker = {worker:String}"
        bound["worker"] = worker
    return text, bound


def _select(source: Source, by_window: dict[int, list[str]], windows: int, key: Key, filters: str) -> str:
    raw = source == "shares"
    columns: list[str] = []
    for window in range(windows):
        when = " OR ".join(by_window.get(window, ()))
        templates = (_RAW_SUMS if raw else _ROLLED_UP_SUMS) if when else _NOTHING
        columns.extend(template.format(when=when) for template in templates)
    selected = ", ".join(f"{column} AS {name}" for column, name in zip(columns, _names(windows), strict=True))
    scanned = " OR ".join(dict.fromkeys(condition for parts in by_window.values() for condition in parts))
    last, verdict = ("s.ts", " AND s.verdict = 'accepted'") if raw else ("s.last_share", "")
    return (
        f"SELECT s.{key} AS {key}, {selected}, max({last}) AS last\n"
        f"FROM {source} AS s\nWHERE ({scanned}){verdict}{filters}\nGROUP BY {key}"
    )


def _names(windows: int) -> list[str]:
    return [f"{name}{window}" for window in range(windows) for name in ("shares", "credited", "actual")]
