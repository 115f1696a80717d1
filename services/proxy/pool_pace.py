"""How fast a pool is read: no pool may keep the event loop, or our miners, busy for itself alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.pacing import MessageBudget, Reading

if TYPE_CHECKING:
    from services.proxy.upstream import Upstream

log = structlog.get_logger()

MESSAGES_A_TURN: Final = 256
UNASKED_A_SECOND: Final = 100.0
"""In the long run, ten seconds' worth at once: jobs, difficulties and the like. Verdicts do not count."""


_LOOKED_AT_EVERY: Final = 16


class PoolPace:
    """One connection's."""

    __slots__ = ("_budget", "_has_backlog", "_is_flooding", "_loop", "_reading", "_unasked", "_upstream")

    def __init__(self, upstream: Upstream) -> None:
        self._loop = asyncio.get_running_loop()
        self._upstream = upstream
        self._budget = MessageBudget(UNASKED_A_SECOND, self._loop.time())
        self._reading: Reading | None = None
        self._has_backlog = self._is_flooding = False
        self._unasked = 0

    def begin(self, transport: asyncio.Transport) -> None:
        """From here on the transport can be held."""
        self._reading = Reading(transport)

    def took(self, messages: int, unasked: int) -> None:
        """Tells what was handled in this turn, and of that what nobody had asked for."""
        self._has_backlog = messages == MESSAGES_A_TURN
        self._unasked += unasked
        # Looked at now and then only: a notify comes on a thousand connections at once.
        if self._reading is None or (self._unasked < _LOOKED_AT_EVERY and not self._has_backlog):
            return
        spent, self._unasked = self._unasked, 0
        if pause_seconds := self._budget.spend(spent, self._loop.time()):
            pool = self._upstream.pool
            pool.metrics.floods.inc()
            if not self._is_flooding:
                self._is_flooding = True
                log.warning("pool_floods", pool_label=pool.name, pool=self._upstream.endpoint.address)
            self._reading.hold("pace")
            self._loop.call_later(pause_seconds, self._resume)
        elif self._has_backlog:
            self._reading.hold("pace")
            self._loop.call_soon(self._resume)

    def finish(self) -> None:
        """Takes all that waits inside: the last verdicts of a pool that has closed."""
        while self._has_backlog:
            self._has_backlog = False
            self._upstream.go_on()

    def _resume(self) -> None:
        if self._reading is not None:
            self._reading.release("pace")
        if self._has_backlog:
            self._has_backlog = False
            self._upstream.go_on()
