"""Numbers as people read them: SI prefixes, three significant digits, and times that say how long ago."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def si(value: float, unit: str = "") -> str:
    """`value` with three significant digits and an SI prefix: 41.2 P, then the unit. Below 1 no prefix is used."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return f"0 {unit}".strip()
    if abs(value) < 1:
        # Difficulties of tiny miners: 0.000977, 9.54e-07.
        return f"{value:.3g} {unit}".strip()
    # One digit group is decided after rounding, so that 999.9 becomes 1.00 k and not 1000.
    power = 0
    scaled = float(f"{value:.3g}")
    while abs(scaled) >= 1000 and power < len(_PREFIXES) - 1:
        power += 1
        scaled = float(f"{value / 1000**power:.3g}")
    digits = max(0, 2 - int(math.floor(math.log10(abs(scaled)))))
    text = str(int(scaled)) if power == 0 and scaled == int(scaled) else f"{scaled:.{digits}f}"
    return f"{text} {_PREFIXES[power]}{unit}".strip()


def hash_rate(hashes_per_second: float) -> str:
    """A hash rate: 41.2 PH/s."""
    return si(hashes_per_second, "H/s")


def size(number_of_bytes: float) -> str:
    """So many bytes, in powers of 1000: 41.2 GB."""
    return si(number_of_bytes, "B")


def exact(value: float) -> str:
    """Every digit that matters, with thousands separated: for the hover text."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.15g}"


def count(number: int) -> str:
    """A whole number: exact below 100,000, with an SI prefix from there on."""
    return f"{number:,}" if abs(number) < 100_000 else si(number)


def percent(part: int, whole: int) -> str:
    """`part` of `whole` in percent, rounded down; 0 and 100 stand only for none and all, a dash for none of none."""
    if whole == 0:
        return "–"
    if part in (0, whole):
        return f"{100 * part // whole} %"
    hundredths = 10_000 * part // whole
    return f"{hundredths / 100:.2f} %" if hundredths else "< 0.01 %"


def duration(seconds: float) -> str:
    """A time span in its largest fitting unit: 12 s, 5 min, 3 h, 2 d."""
    whole = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= 2 * length or (whole >= length and unit != "min"):
            return f"{whole // length} {unit}"
    return f"{whole} s"


def utc(unix_seconds: float) -> str:
    """A moment in UTC: 2026-11-21 11:05:09 UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plural(number: int, noun: str) -> str:
    """1 miner, 2 miners."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"
