"""What the disk does by itself: a benchmark that waits for it says so beside its own figures."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Final

_WRITE: Final = bytes(1536)
"""About what the spool commits at 1,000 shares a second."""
_LOG_BYTES: Final = 1 << 20


def commits(count: int = 200) -> list[float]:
    """Seconds of so many small durable writes into a file that is there already, as a write-ahead log is; sorted."""
    with tempfile.TemporaryFile() as log:
        descriptor = log.fileno()
        os.write(descriptor, bytes(_LOG_BYTES))
        os.fsync(descriptor)
        taken = []
        for number in range(count):
            began = time.perf_counter()
            os.pwrite(descriptor, _WRITE, number * len(_WRITE) % (_LOG_BYTES - len(_WRITE)))
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - began)
    return sorted(taken)
