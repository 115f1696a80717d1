"""One question to the database for all who ask the same in the same second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

T = TypeVar("T")

_MOST_KEPT: Final = 1000


class SharedAnswers:
    """Keeps the answers of the present second; figures that end at that second differ at most by shares that come late.

    An error is told to all who waited for it, and not kept.
    """

    def __init__(self) -> None:
        self._second = -1
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, second: int, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives; it is called once for each key and second, however many ask."""
        if second != self._second:
            self._second = second
            self._tasks = {}
        task = self._tasks.get(key)
        if task is None:
            if len(self._tasks) >= _MOST_KEPT:
                return await ask()
            tasks = self._tasks
            task = tasks[key] = asyncio.ensure_future(ask())

            def ended(done: asyncio.Task[Any]) -> None:
                if done.cancelled() or done.exception() is not None:
                    tasks.pop(key, None)

            task.add_done_callback(ended)
        # Whoever goes away takes nothing from the others.
        answer: T = await asyncio.shield(task)
        return answer
