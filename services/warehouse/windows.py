"""Which table answers which part of a window: roll-ups the inside, raw shares the edges, exact to the second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Source = Literal["shares", "shares_10m", "shares_1h", "shares_1d"]

_TEN_MINUTES: Final = 600
_HOUR: Final = 3_600
_DAY: Final = 86_400
_WORTH_DAYS: Final = 3 * _DAY
"""What is shorter is read by the hour: few rows either way, and a query of fewer parts."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The half-open part [start, end) of a window, unix seconds, and the table it is read from."""

    source: Source
    start: int
    end: int


def pieces(start: int, end: int, *, by_day: bool = False) -> tuple[Piece, ...]:
    """The window [start, end) cut up, in order of time and without gaps; a roll-up's piece ends on its buckets.

    What is shorter than an hour is read from raw shares alone. `by_day`: whole days may be read from `shares_1d`, by
    whoever reads what lies before its beginning (`shares_1d_since`) from `shares_1h`.
    """
    if end - start < _HOUR:
        return _piece("shares", start, end)
    ten_start, ten_end = _up(start, _TEN_MINUTES), _down(end, _TEN_MINUTES)
    hour_start, hour_end = _up(start, _HOUR), _down(end, _HOUR)
    return (
        _piece("shares", start, ten_start)
        + _piece("shares_10m", ten_start, hour_start)
        + (_days(hour_start, hour_end) if by_day else _piece("shares_1h", hour_start, hour_end))
        + _piece("shares_10m", hour_end, ten_end)
        + _piece("shares", ten_end, end)
    )


def _days(start: int, end: int) -> tuple[Piece, ...]:
    if end - start < _WORTH_DAYS:
        return _piece("shares_1h", start, end)
    day_start, day_end = _up(start, _DAY), _down(end, _DAY)
    return (
        _piece("shares_1h", start, day_start)
        + _piece("shares_1d", day_start, day_end)
        + _piece("shares_1h", day_end, end)
    )


def _piece(source: Source, start: int, end: int) -> tuple[Piece, ...]:
    return (Piece(source, start, end),) if start < end else ()


def _up(time: int, step: int) -> int:
    return -(-time // step) * step


def _down(time: int, step: int) -> int:
    return time // step * step
