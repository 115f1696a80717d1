"""The period that a page asks about: the last so long, or from one moment to another, as the address says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PERIODS: Final = {"1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
CUSTOM: Final = "custom"
DEFAULT: Final = "24h"
MOST_SECONDS: Final = 5 * 366 * 86_400
_WORDS: Final = {
    "1h": "the last hour",
    "6h": "the last 6 hours",
    "24h": "the last 24 hours",
    "7d": "the last 7 days",
    "30d": "the last 30 days",
}
_STEPS: Final = (1, 10, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 86_400, 604_800, 2_592_000)
_MOST_STEPS: Final = 240
_HOUR: Final = 3_600
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z?")


class PeriodError(ValueError):
    """A period that cannot be asked for; the text says what would do."""


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end), unix seconds; `name` is one of PERIODS or CUSTOM."""

    name: str
    start: int
    end: int

    @property
    def seconds(self) -> int:
        return self.end - self.start

    @property
    def step_seconds(self) -> int:
        """So that a chart has at most some hundreds of points."""
        return next((step for step in _STEPS if self.seconds <= step * _MOST_STEPS), _STEPS[-1])

    @property
    def heat_seconds(self) -> int:
        """Columns of a heat map: hours, shorter ones for a short period, longer ones for a long one."""
        for step in (300, 600, _HOUR, 10_800, 21_600, 86_400, 604_800):
            if self.seconds <= step * (40 if step < _HOUR else 170):
                return step
        return 2_592_000

    def words(self) -> str:
        """For a heading: "the last 24 hours", or both ends."""
        if self.name != CUSTOM:
            return _WORDS[self.name]
        return f"{_written(self.start)} to {_written(self.end)} UTC"

    def fixed(self) -> dict[str, str]:
        """The parameters that name just this period, whenever they are read."""
        return {"period": CUSTOM, "from": _parameter(self.start), "to": _parameter(self.end)}


def asked_period(parameters: Mapping[str, str], now: int) -> Period:
    """The period that `period`, `from` and `to` name; the last day without them. Raises PeriodError.

    Moments are UTC, "2026-11-21T10:30" with seconds or without, or unix seconds. `from` alone is a custom period too;
    without `to` it ends now.
    """
    name = parameters.get("period") or (CUSTOM if parameters.get("from") or parameters.get("to") else DEFAULT)
    if name in PERIODS:
        return Period(name, now - PERIODS[name], now)
    if name != CUSTOM:
        raise PeriodError(f"There is no period {name[:40]!r}: choose one of {', '.join(PERIODS)}, or {CUSTOM}.")
    if not parameters.get("from"):
        raise PeriodError("A custom period needs the moment at which it begins: fill in From.")
    start = _moment("From", parameters["from"])
    end = _moment("To", parameters["to"]) if parameters.get("to") else now
    if start >= end:
        raise PeriodError(f"From ({_written(start)}) is not before To ({_written(end)}): exchange them, or move one.")
    if end - start > MOST_SECONDS:
        raise PeriodError("That is more than five years: choose a shorter period.")
    return Period(CUSTOM, start, end)


def _moment(field: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return int(text)
    if not _MOMENT.fullmatch(text):
        raise PeriodError(f"{field} is no moment: write it as 2026-11-21T10:30 in UTC.")
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        raise PeriodError(f"{field} is a day or a time that does not exist.") from None
    seconds = int(moment.timestamp())
    if not 0 <= seconds < 1 << 32:
        raise PeriodError(f"{field} must lie between the years 1970 and 2106.")
    return seconds


def _parameter(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _written(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
