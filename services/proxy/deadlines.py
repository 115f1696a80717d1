"""Many deadlines on one timer: one of the event loop's for each miner would cost more memory than eight jobs."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final, Protocol

import structlog

if TYPE_CHECKING:
    from asyncio import TimerHandle

log = structlog.get_logger()

_SLOTS_A_SECOND: Final = 40
_COARSE: Final = 4 * _SLOTS_A_SECOND
"""So many slots are one for what is more than twice as far off."""


class Due(Protocol):
    """Who has a deadline. ``fall_due`` may come before its time, to be asked for again, and just after a ``drop``."""

    def fall_due(self) -> None: ...


class Deadlines:
    """Wakes each at its time, by the loop's clock: 25 ms late at the most, and up to 4 s early where it is 8 s off.

    Whoever asks keeps the slot that ``wake`` gives, for ``drop``: until then it is held here.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: dict[int, dict[Due, None]] = {}
        self._order: list[int] = []
        self._timer: TimerHandle | None = None
        self._timer_slot = 0

    def wake(self, who: Due, at: float) -> int:
        """Asks to be woken at a time; gives the slot."""
        slot = int(at * _SLOTS_A_SECOND) + 1
        if slot - self._loop.time() * _SLOTS_A_SECOND > 2 * _COARSE:
            slot -= slot % _COARSE
        waiting = self._slots.get(slot)
        if waiting is None:
            waiting = self._slots[slot] = {}
            heapq.heappush(self._order, slot)
            self._set_timer()
        waiting[who] = None
        return slot

    def drop(self, who: Due, slot: int) -> None:
        """Forgets a deadline. Idempotent."""
        if (waiting := self._slots.get(slot)) is not None:
            waiting.pop(who, None)

    def _set_timer(self) -> None:
        if not self._order or (self._timer is not None and self._timer_slot <= self._order[0]):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_slot = self._order[0]
        self._timer = self._loop.call_at(self._timer_slot / _SLOTS_A_SECOND, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time() * _SLOTS_A_SECOND
        due: list[Due] = []
        while self._order and self._order[0] <= now:
            due += self._slots.pop(heapq.heappop(self._order))
        for who in due:
            try:
                who.fall_due()
            except Exception:
                log.exception("deadline_error")
        self._set_timer()
