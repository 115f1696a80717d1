"""Threads in which statements run, beside the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

CANCEL_AGAIN_SECONDS = 1.0


class Lane:
    """Worker threads for one kind of statement: as many as there are places."""

    def __init__(self, places: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(places, name)

    async def run(self, function: Callable[[], T], cancel: Callable[[], None] | None = None) -> T:
        """Run `function` in a thread, to its end even when the waiting task is cancelled: a handle is in use there.

        `cancel`, run in a thread of its own, makes that end come sooner.
        """
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, function)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # How it ends, nobody will ask.
            future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            while not future.done():
                if cancel is not None:
                    await loop.run_in_executor(None, cancel)
                # Again, for it may have come before the statement had begun.
                await asyncio.wait((future,), timeout=CANCEL_AGAIN_SECONDS if cancel else None)
            raise

    def close(self) -> None:
        self._threads.shutdown()
