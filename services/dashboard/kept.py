"""An answer of the database that holds for a while: asked for once in that time, whoever wants it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import structlog

from services.warehouse.client import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

log = structlog.get_logger()

SETTLED_SECONDS: Final = 4
"""Shares take a moment to arrive: what ends with a step is asked for so much later."""
_PATIENCE_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 10


class Kept(Generic[T]):
    """Asks `ask` for each whole step of `step_seconds` that has ended, by its end in unix seconds, and keeps the last
    answer while the database gives none. It is asked again 10 s after it gave none.
    """

    def __init__(self, name: str, step_seconds: int, ask: Callable[[int], Awaitable[T]]) -> None:
        self._name = name
        self._step_seconds = step_seconds
        self._ask = ask
        self._answer: tuple[int, T] | None = None
        self._asking = asyncio.Lock()
        self._tasks: set[asyncio.Task[T | None]] = set()
        self._not_before = 0

    def end(self, now: int) -> int:
        """When the step ended whose answer is to be had at `now`."""
        return (now - SETTLED_SECONDS) // self._step_seconds * self._step_seconds

    async def of(self, now: int) -> T | None:
        """The answer for the step before `now`, or the last there was; None if the database never told."""
        async with self._asking:
            if self._due(now):
                try:
                    self._answer = self.end(now), await self._ask(self.end(now))
                except StoreUnavailable as error:
                    self._not_before = now + _AGAIN_SECONDS
                    log.warning("history_failed", asked=self._name, trouble=error.trouble, reason=str(error))
            return self.last

    @property
    def last(self) -> T | None:
        """The last answer, whatever its step."""
        return self._answer[1] if self._answer is not None else None

    async def soon(self, now: int) -> T | None:
        """What `of` gives if that takes a moment, else the last answer; a later call has it then."""
        asking = self._begin(now)
        await asyncio.wait({asking}, timeout=_PATIENCE_SECONDS)
        return asking.result() if asking.done() else self.last

    def at_once(self, now: int) -> T | None:
        """The last answer; if it is of an earlier step, the next is asked for meanwhile."""
        if self._due(now) and not self._tasks:
            self._begin(now)
        return self.last

    def _due(self, now: int) -> bool:
        return now >= self._not_before and (self._answer is None or self._answer[0] != self.end(now))

    def _begin(self, now: int) -> asyncio.Task[T | None]:
        asking = asyncio.create_task(self.of(now))
        self._tasks.add(asking)
        asking.add_done_callback(self._tasks.discard)
        return asking
