"""The live feed: what happens now, read once per step for all who listen, and resumable by the id of a step.

The API and the dashboard each serve it to their own clients:

    feed = Feed(queries)                      # one for each process
    async with aclosing(feed.entries(after)) as entries:
        async for entry in entries:           # FeedStep, FeedGap or FeedOutage
            ...                               # an event; its id, where it is a FeedStep, is str(entry.end)
    feed.close()                              # when the process stops: every listener's loop ends

`after` is the id that a client saw last (its header Last-Event-ID, by `event_id`), or None for one that begins now. Ids
are moments, unix seconds, and the same on every process: whoever reconnects, here or elsewhere, after a restart or
without, goes on with the step that follows. A step is told SETTLED_SECONDS after its end, once proxies have written
what it holds. What reaches the database later (a spool that waited for ClickHouse) counts in every figure from then on,
but no step is told twice.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from services.warehouse.client import StoreUnavailable
from services.warehouse.feed_steps import STEP_SECONDS, FeedStep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from services.warehouse.client import Trouble
    from services.warehouse.queries import Queries

log = structlog.get_logger()

SETTLED_SECONDS: Final = 4
"""Shares are shipped every second, sessions and heartbeats every other."""
REPLAY_SECONDS: Final = 900
"""How far back a listener can resume."""
MOST_LISTENERS: Final = 500
_ID_MAX_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class FeedGap:
    """What happened in [start, end), unix seconds, is too old to be told again; ask for figures instead."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FeedOutage:
    """The database gives no answer since `since`, unix seconds; steps follow once it does again."""

    since: float
    trouble: Trouble


def event_id(text: str | None) -> int | None:
    """A client's Last-Event-ID as `entries` takes it; None where it is none of ours."""
    text = text or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _ID_MAX_DIGITS else None


class Feed:
    """See above. It looks only while somebody listens; a listener that is too slow misses nothing it can resume."""

    def __init__(self, queries: Queries, clock: Callable[[], float] = time.time) -> None:
        self._queries = queries
        self._clock = clock
        self._steps: list[FeedStep] = []
        self._outage: FeedOutage | None = None
        self._changed = asyncio.Event()
        self._reading = asyncio.Lock()
        self._listeners = 0
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether as many listen as may."""
        return self._listeners >= MOST_LISTENERS

    async def entries(self, after: int | None = None) -> AsyncGenerator[FeedStep | FeedGap | FeedOutage]:
        """First the latest step, or all that follow the step `after`; then each new one; ends at `close`."""
        self._listeners += 1
        if self._ticker is None:
            # What was known when the last listener went may not be the latest, nor an outage of now.
            self._outage = None
            if self._steps and self._steps[-1].end < self._due():
                self._steps = []
            self._ticker = asyncio.create_task(self._tick())
        position = None if after is None else min(after - after % STEP_SECONDS, self._due())
        told: FeedOutage | None = None
        try:
            while not self._closed:
                changed = self._changed
                if self._steps and self._outage is None:
                    told = None
                    if position is None:
                        position = self._steps[-1].start
                    earliest = self._steps[-1].end - REPLAY_SECONDS
                    if position < earliest:
                        yield FeedGap(position, earliest)
                        position = earliest
                    if await self._reach_back(position):
                        for step in self._from(position):
                            yield step
                            position = step.end
                if self._outage is not None and self._outage != told:
                    told = self._outage
                    yield told
                await changed.wait()
        finally:
            self._listeners -= 1
            if self._listeners == 0 and self._ticker is not None:
                self._ticker.cancel()
                self._ticker = None

    def close(self) -> None:
        """End every listener's loop, and new ones at once."""
        self._closed = True
        self._changed.set()

    def _due(self) -> int:
        """The end of the latest step that has settled."""
        settled = int(self._clock()) - SETTLED_SECONDS
        return settled - settled % STEP_SECONDS

    def _from(self, position: int) -> list[FeedStep]:
        if not self._steps:
            return []
        return self._steps[max(0, (position - self._steps[0].start) // STEP_SECONDS) :]

    async def _tick(self) -> None:
        while not self._closed:
            try:
                await self._look()
            except Exception:
                # Listeners hear nothing meanwhile; the next look may succeed.
                log.exception("feed_failed")
            now = self._clock()
            await asyncio.sleep(STEP_SECONDS - now % STEP_SECONDS)

    async def _look(self) -> None:
        """Read what has settled since the last look."""
        async with self._reading:
            due = self._due()
            if self._steps and due - self._steps[-1].end > REPLAY_SECONDS:
                self._steps = []
            start = self._steps[-1].end if self._steps else due - STEP_SECONDS
            if start >= due:
                return
            read = await self._read(start, due)
            if read is not None:
                self._steps = [*self._steps, *read][-REPLAY_SECONDS // STEP_SECONDS :]
            self._wake()

    async def _reach_back(self, start: int) -> bool:
        """Read the steps from `start` on too, and keep them for whoever else resumes; False if that could not be."""
        async with self._reading:
            if not self._steps:
                return False
            if start < self._steps[0].start:
                read = await self._read(start, self._steps[0].start)
                if read is None:
                    self._wake()
                    return False
                self._steps = [*read, *self._steps]
            return True

    async def _read(self, start: int, end: int) -> list[FeedStep] | None:
        try:
            steps = await self._queries.feed_steps(start, end)
        except StoreUnavailable as error:
            if self._outage is None:
                self._outage = FeedOutage(self._clock(), error.trouble)
                log.warning("feed_interrupted", trouble=error.trouble, code=error.code, reason=str(error))
            return None
        self._outage = None
        return steps

    def _wake(self) -> None:
        # Whoever waits on the old event wakes now; who comes later waits on the new one.
        self._changed.set()
        self._changed = asyncio.Event()
