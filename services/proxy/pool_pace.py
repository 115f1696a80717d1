"""How fast a pool is read: no pool may keep the event loop, or our miners, busy for itself alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from services.proxy.pacing import MessageBudget, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.pool import Pool

log = structlog.get_logger()

MESSAGES_A_TURN: Final = 256
UNASKED_A_SECOND: Final = 100.0
"""In the long run, ten seconds' worth at once: jobs, difficulties and the like. Verdicts do not count."""


_MAX_TOLD: Final = 20


class PoolPace:
    """One connection's. ``go_on`` takes the messages that wait inside, as many as a turn may have."""

    __slots__ = (
        "_budget",
        "_endpoint",
        "_go_on",
        "_has_backlog",
        "_is_flooding",
        "_loop",
        "_pool",
        "_reading",
        "_told",
    )

    def __init__(self, pool: Pool, endpoint: PoolEndpoint, go_on: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._endpoint = endpoint
        self._go_on = go_on
        self._budget = MessageBudget(UNASKED_A_SECOND, self._loop.time())
        self._reading: Reading | None = None
        self._has_backlog = self._is_flooding = False
        self._told = 0

    def begin(self, transport: asyncio.Transport) -> None:
        """From here on the transport can be held."""
        self._reading = Reading(transport)

    def took(self, messages: int, unasked: int) -> None:
        """Tells what was handled in this turn, and of that what nobody had asked for."""
        self._has_backlog = messages == MESSAGES_A_TURN
        if self._reading is None:
            return
        if pause_seconds := self._budget.spend(unasked, self._loop.time()):
            self._pool.metrics.floods.inc()
            if not self._is_flooding:
                self._is_flooding = True
                log.warning("pool_floods", pool_label=self._pool.name, pool=self._endpoint.address)
            self._reading.hold("pace")
            self._loop.call_later(pause_seconds, self._resume)
        elif self._has_backlog:
            self._reading.hold("pace")
            self._loop.call_soon(self._resume)

    def finish(self) -> None:
        """Takes all that waits inside: the last verdicts of a pool that has closed."""
        while self._has_backlog:
            self._has_backlog = False
            self._go_on()

    def may_tell(self) -> bool:
        """Whether the log has room for one more thing that this connection says."""
        self._told += 1
        return self._told <= _MAX_TOLD

    def _resume(self) -> None:
        if self._reading is not None:
            self._reading.release("pace")
        if self._has_backlog:
            self._has_backlog = False
            self._go_on()
