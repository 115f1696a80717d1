"""Shares of several windows as one list of rows, each marked with the windows that it lies in, from the fewest tables.

A row is a raw share or a bucket of a roll-up. The marks stand in the columns w0, w1, ... in the order of the windows,
and each condition is said once: with few shares the engine's time goes into the text of the query (three windows over
60 shares: 22 ms, against 53 with the conditions repeated in every sum). Times are unix seconds, written out as they
are: they come from no client, and a bound parameter costs a cast of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.warehouse.windows import pieces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.warehouse.windows import Piece, Source

_BUCKETS: Final = "s.bucket >= toDateTime({start}, 'UTC') AND s.bucket < toDateTime({end}, 'UTC')"
_RANGES: Final[dict[Source, str]] = {
    "shares": "s.ts >= toDateTime64({start}, 3, 'UTC') AND s.ts < toDateTime64({end}, 3, 'UTC')",
    "shares_10m": _BUCKETS,
    "shares_1h": _BUCKETS,
    "shares_1d": _BUCKETS,
}
# The roll-up by day has all shares from here on (migration 0007).
_DAYS_BEGIN: Final = "(SELECT if(count() = 0, toDateTime(4102444800, 'UTC'), max(since)) FROM shares_1d_since)"


@dataclass(frozen=True, slots=True)
class Columns:
    """What the rows hold: expressions by name, of the same types, over a raw share and over a roll-up's bucket."""

    raw: Mapping[str, str]
    rolled_up: Mapping[str, str]
    raw_condition: str = ""
    """Which of them count, with an AND in front; so is the next."""
    rolled_up_condition: str = ""


ACCEPTED: Final = Columns(
    raw={
        "shares": "toUInt64(1)",
        "credited": "s.pool_difficulty",
        "actual": "s.actual_difficulty",
        "last": "s.ts",
    },
    rolled_up={
        "shares": "s.accepted",
        "credited": "s.credited_difficulty",
        "actual": "s.actual_difficulty",
        "last": "s.last_share",
    },
    raw_condition=" AND s.verdict = 'accepted'",
    rolled_up_condition=" AND s.accepted > 0",
)
"""Accepted shares alone."""


def share_rows(windows: Sequence[tuple[int, int]], columns: Columns, filters: str = "") -> str:
    """SQL: pool_label, worker, the columns, and w0, w1, ... for each share or bucket that lies in any of `windows`.

    Windows are half open, in unix seconds.
    """
    of_source: dict[Source, dict[int, list[str]]] = {}
    for number, (start, end) in enumerate(windows):
        for piece in pieces(start, end, by_day=True):
            text = _range(piece)
            if piece.source == "shares_1d":
                early = text.replace("(", f"(s.bucket < {_DAYS_BEGIN} AND ", 1)
                of_source.setdefault("shares_1h", {}).setdefault(number, []).append(early)
                text = text.replace("(", f"(s.bucket >= {_DAYS_BEGIN} AND ", 1)
            of_source.setdefault(piece.source, {}).setdefault(number, []).append(text)
    return "\nUNION ALL\n".join(
        _select(source, [ranges.get(number, []) for number in range(len(windows))], columns, filters)
        for source, ranges in of_source.items()
    )


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


def _range(piece: Piece) -> str:
    return f"({_RANGES[piece.source].format(start=piece.start, end=piece.end)})"


def _select(source: Source, ranges: Sequence[Sequence[str]], columns: Columns, filters: str) -> str:
    raw = source == "shares"
    named = columns.raw if raw else columns.rolled_up
    marks = {f"w{number}": " OR ".join(own) or "0" for number, own in enumerate(ranges)}
    selected = ", ".join(f"{expression} AS {name}" for name, expression in {**named, **marks}.items())
    scanned = " OR ".join(dict.fromkeys(one for own in ranges for one in own))
    condition = columns.raw_condition if raw else columns.rolled_up_condition
    return (
        f"SELECT s.pool_label AS pool_label, s.worker AS worker, {selected}\n"
        f"FROM {source} AS s WHERE ({scanned}){condition}{filters}"
    )
