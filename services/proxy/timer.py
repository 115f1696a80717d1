"""One thing that is to happen after a while, unless something else comes first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """Runs for one thing at a time: to start it for another is to stop it for the one before."""

    __slots__ = ("_handle",)

    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether something is still to happen, or has just happened by it."""
        return self._handle is not None

    def start(self, seconds: float, call: Callable[..., None], *arguments: str) -> None:
        """Has ``call`` made in so many seconds."""
        self.stop()
        self._handle = asyncio.get_running_loop().call_later(seconds, call, *arguments)

    def stop(self) -> None:
        """It is not to happen any more. Idempotent."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
