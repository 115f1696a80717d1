"""What the machine's host kept from it: beside much of that, times tell of the host."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/stat")


class Stolen:
    """Counts from when it is made on."""

    def __init__(self) -> None:
        self._wanted, self._stolen = _jiffies()

    def percent(self) -> float:
        """Of the processor time that was wanted on all cores, what the host gave to others (steal, proc_stat(5))."""
        wanted, stolen = _jiffies()
        return 100 * (stolen - self._stolen) / max(1, wanted - self._wanted)


def _jiffies() -> tuple[int, int]:
    """Wanted, and of that stolen, since the machine started."""
    user, nice, system, _idle, _iowait, irq, softirq, stolen, *_ = map(
        int, _STAT.read_text().split("\n", 1)[0].split()[1:]
    )
    return user + nice + system + irq + softirq + stolen, stolen
