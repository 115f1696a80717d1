"""The live page's own events: one look into the database per interval, however many pages are open."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog
from fastapi.sse import format_sse_event

from services.dashboard.view import change, whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from services.dashboard.view import View

log = structlog.get_logger()

MOST_STREAMS = 500


class ViewStream:
    """Looks while somebody watches, and tells every watcher the same.

    `look` gives the present view; it is called at most once per interval, and never twice at a time. A watcher that
    reads too slowly misses changes and gets the whole view instead, so that nothing piles up for it.
    """

    def __init__(self, look: Callable[[], Awaitable[View]], interval_seconds: float) -> None:
        self._look = look
        self._interval_seconds = interval_seconds
        self._looking = asyncio.Lock()
        self._view: View | None = None
        self._looked_at = 0.0
        self._number = 0
        self._change = b""
        self._changed = asyncio.Event()
        self._watchers = 0
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether as many streams are open as there may be."""
        return self._watchers >= MOST_STREAMS

    async def view(self) -> View:
        """The view of now: the last one if it is younger than the interval, else a new look that all callers share."""
        async with self._looking:
            if self._view is None or time.monotonic() - self._looked_at >= self._interval_seconds:
                await self._renew()
            assert self._view is not None
            return self._view

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events without end: first `view`, the whole, then a `patch` per interval; ends at `close`."""
        self._watchers += 1
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick())
        try:
            seen = -1
            while not self._closed:
                if self._number == seen:
                    await self._changed.wait()
                elif self._number == seen + 1 and self._change:
                    seen = self._number
                    yield _event("patch", self._change)
                else:
                    view = await self.view()
                    seen = self._number
                    yield _event("view", whole(view))
        finally:
            self._watchers -= 1
            if self._watchers == 0 and self._ticker is not None:
                self._ticker.cancel()
                self._ticker = None

    def close(self) -> None:
        """End every stream, and new ones at once."""
        self._closed = True
        self._changed.set()

    async def _tick(self) -> None:
        while not self._closed:
            await asyncio.sleep(max(0.0, self._looked_at + self._interval_seconds - time.monotonic()))
            try:
                await self.view()
            except Exception:
                # The pages call themselves stale when no event comes; the next look may succeed.
                log.exception("look_failed")
                await asyncio.sleep(self._interval_seconds)

    async def _renew(self) -> None:
        old = self._view
        new = await self._look()
        self._view = new
        self._looked_at = time.monotonic()
        self._number += 1
        self._change = change(old, new) if old is not None else b""
        # Whoever waits on the old event wakes now; who comes later waits on the new one.
        self._changed.set()
        self._changed = asyncio.Event()


def _event(name: str, data: bytes) -> bytes:
    return format_sse_event(event=name, data_str=data.decode())
