"""Mining with what the others leave."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from pathlib import Path

_LOWEST = 19
_LIMIT_FILE = Path("/sys/fs/cgroup/cpu.max")
_OTHER_CPUS = 0.05
"""What connection, log and passes take beside the threads."""


def step_back() -> None:
    """Gives this thread the lowest priority, where the system has one for threads (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)


def available_cpus(limit_file: Path = _LIMIT_FILE) -> int:
    """How many this process may use: of those that it may run on, as many as its container's limit pays for."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    return max(min(len(os.sched_getaffinity(0)), math.ceil(_paid_cpus(limit_file))), 1)


def affordable_intensity(threads: int, limit_file: Path = _LIMIT_FILE) -> float:
    """Percent of the time that so many threads may work within the container's limit, a little left for the rest.

    A process that uses its limit up stands still for the rest of each period of 100 ms, answers to the pool included.
    """
    paid = _paid_cpus(limit_file)
    return 100.0 if paid >= threads + _OTHER_CPUS else max(100 * (paid - _OTHER_CPUS) / threads, 1.0)


def _paid_cpus(limit_file: Path) -> float:
    with contextlib.suppress(OSError, ValueError):  # "max 100000" is no limit
        quota, period = map(int, limit_file.read_text().split())
        return quota / period
    return float(sys.maxsize)
