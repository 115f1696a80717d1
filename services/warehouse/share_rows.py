"""Shares of several windows as one list of rows, each marked with the windows that it lies in, from the fewest tables.

A row is a raw share or a bucket of a roll-up. The marks stand in the columns w0, w1, ... in the order of the windows,
and each condition is said once: with few shares the engine's time goes into the text of the query (three windows over
60 shares: 22 ms, against 53 with the conditions repeated in every sum).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.warehouse.moments import merged, within
from services.warehouse.windows import pieces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.warehouse.moments import Moments, Span
    from services.warehouse.windows import Source

# The column that says when, and a moment of its type, of unix seconds.
_TIMES: Final[dict[Source, tuple[str, str]]] = {
    "shares": ("s.ts", "toDateTime64({}, 3, 'UTC')"),
    "shares_10m": ("s.bucket", "toDateTime({}, 'UTC')"),
    "shares_1h": ("s.bucket", "toDateTime({}, 'UTC')"),
    "shares_1d": ("s.bucket", "toDateTime({}, 'UTC')"),
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


def share_rows(windows: Sequence[Span], columns: Columns, moments: Moments, filters: str = "") -> str:
    """SQL: pool_label, worker, the columns, and w0, w1, ... for each share or bucket that lies in any of `windows`.

    Windows are half open, in unix seconds. Binds `moments`.
    """
    of_source: dict[Source, list[list[Span]]] = {}
    by_day: list[list[Span]] = [[] for _ in windows]
    for number, (start, end) in enumerate(windows):
        for piece in pieces(start, end, by_day=True):
            if piece.source == "shares_1d":
                by_day[number].append((piece.start, piece.end))
            else:
                own = of_source.setdefault(piece.source, [[] for _ in windows])
                own[number].append((piece.start, piece.end))
    if any(by_day):
        of_source.setdefault("shares_1h", [[] for _ in windows])
    parts = [_part(source, own, by_day, moments) for source, own in of_source.items()]
    if any(by_day):
        parts.append(_part("shares_1d", by_day, by_day, moments))
    return "\nUNION ALL\n".join(_select(part, columns, filters) for part in parts)


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


@dataclass(frozen=True, slots=True)
class _Part:
    """What is read from one table: which of its rows, and for each window, which of those lie in it."""

    source: Source
    scanned: str
    marks: tuple[str, ...]


def _part(source: Source, spans: Sequence[Sequence[Span]], by_day: Sequence[Sequence[Span]], moments: Moments) -> _Part:
    column, moment = _TIMES[source]

    def inside(own: Sequence[Span], known: Sequence[Span] = ()) -> str:
        return within(column, own, known, lambda second: moment.format(moments.parameter(second)))

    own = [merged(one) for one in spans]
    scanned = merged(span for one in spans for span in one)
    if source == "shares_1d":
        marks = [f"{column} >= {_DAYS_BEGIN} AND ({inside(one)})" for one in own]
        return _Part(source, f"{column} >= {_DAYS_BEGIN} AND ({inside(scanned)})", tuple(marks))
    if source == "shares_1h" and any(by_day):
        days = [merged(one) for one in by_day]
        early = merged(span for one in by_day for span in one)
        marks = [
            f"{inside(one)} OR {column} < {_DAYS_BEGIN} AND ({inside(day)})" for one, day in zip(own, days, strict=True)
        ]
        return _Part(source, f"{inside(scanned)} OR {column} < {_DAYS_BEGIN} AND ({inside(early)})", tuple(marks))
    return _Part(source, inside(scanned), tuple(inside(one, scanned) for one in own))


def _select(part: _Part, columns: Columns, filters: str) -> str:
    raw = part.source == "shares"
    named = columns.raw if raw else columns.rolled_up
    marks = {f"w{number}": mark for number, mark in enumerate(part.marks)}
    selected = ", ".join(f"{expression} AS {name}" for name, expression in {**named, **marks}.items())
    condition = columns.raw_condition if raw else columns.rolled_up_condition
    return (
        f"SELECT s.pool_label AS pool_label, s.worker AS worker, {selected}\n"
        f"FROM {part.source} AS s WHERE ({part.scanned}){condition}{filters}"
    )
