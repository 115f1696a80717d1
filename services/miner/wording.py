"""Numbers for people."""

from __future__ import annotations

import math

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
_UNITS = ((86400 * 365.25, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min"))


def hash_rate(per_second: float) -> str:
    """A rate such as ``12.3 MH/s``."""
    return f"{_scaled(per_second)}H/s"


def difficulty(value: float) -> str:
    """A difficulty such as ``4.29 k``, or ``0.00098``."""
    return _scaled(value).strip() if value >= 1 or value == 0 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """A time such as ``3.4 min`` or ``1.2e+06 years``."""
    if not math.isfinite(seconds):
        return "never"
    for size, name in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _scaled(value: float) -> str:
    step = min(int(math.log10(value) // 3), len(_PREFIXES) - 1) if value >= 1 else 0
    return f"{value / 1000**step:.3g} {_PREFIXES[step]}"
