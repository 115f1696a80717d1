"""A service that `up` started ends when `up` is gone, however it went.

`up` holds the writing end of each child's standard input and never writes: end of file means that the kernel has closed
it for a process that no longer exists. Works on every Unix, and needs nothing to run between fork and exec.
"""

from __future__ import annotations

import os
import signal
import threading
import time

# Set by the supervisor for its children.
VARIABLE = "SHAREHOUSE_SUPERVISED"
IN_ORDER, AT_ONCE = "1", "at-once"
# What a service may take to drain, and a little.
_DRAIN_SECONDS = 12.0


def end_with_parent() -> None:
    """Where this process is supervised: end it in order once the supervisor is gone, and by force if it then hangs."""
    how = os.environ.get(VARIABLE)
    if how in (IN_ORDER, AT_ONCE):
        threading.Thread(target=_watch, args=(how,), name="parent-watch", daemon=True).start()


def _watch(how: str) -> None:
    while os.read(0, 4096):
        pass
    if how == AT_ONCE:
        os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_DRAIN_SECONDS)
    os._exit(1)
