"""A period of time as a person writes it at the command line, UTC unless it says otherwise."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from services.command.mistake import Mistake

_AGO = re.compile(r"([0-9]{1,6})([mhd])")
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_LATEST = 1 << 32


def period(start: str, end: str, now_seconds: float) -> tuple[int, int]:
    """[start, end) in unix seconds. Raises Mistake."""
    first, last = moment("--from", start, now_seconds), moment("--to", end, now_seconds)
    if first >= last:
        raise Mistake(f"--from {start} is not before --to {end}; the period ends before --to, and begins with --from")
    return first, last


def moment(option: str, text: str, now_seconds: float) -> int:
    """Unix seconds of `now`, so long ago (`90m`, `24h`, `7d`), a day, a time of day on it, or unix seconds."""
    if text == "now":
        return int(now_seconds)
    if ago := _AGO.fullmatch(text):
        return max(0, int(now_seconds) - int(ago[1]) * _UNIT_SECONDS[ago[2]])
    try:
        if text.isascii() and text.isdigit() and len(text) != 8:
            seconds = int(text)
        else:
            found = datetime.fromisoformat(text)
            seconds = int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        seconds = -1
    if not 0 <= seconds < _LATEST:
        raise Mistake(
            f"{option} {text!r} is no time; write a day (2026-11-21), a time on it (2026-11-21T14:30, UTC), unix"
            " seconds, how long ago (90m, 24h, 7d), or now"
        )
    return seconds
