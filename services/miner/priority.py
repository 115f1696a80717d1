"""Mining with what the others leave."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

_LOWEST = 19


def step_back() -> None:
    """Gives this thread the lowest priority, where the system has one for threads (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)


def available_cpus() -> int:
    """How many this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
