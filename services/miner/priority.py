"""Mining with what the others leave."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

_LOWEST = 19


def step_back() -> None:
    """Gives this thread the lowest priority, where the system has one for threads (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)


def available_cpus(limit_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """How many this process may use: of those that it may run on, as many as its container's limit pays for."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # "max 100000" is no limit
        quota, period = map(int, limit_file.read_text().split())
        allowed = min(allowed, -(-quota // period))
    return max(allowed, 1)
