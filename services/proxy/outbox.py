"""Who has something to send: in portions, the last at the end of the event loop's turn."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

log = structlog.get_logger()


PORTION: Final = 32
"""So many connections, and all that belongs to them, fit in a core's cache; a thousand would be fetched twice."""


class Sender(Protocol):
    """A connection that has gathered bytes."""

    def flush(self) -> None:
        """Sends them."""


class Outbox:
    """One pool's: what wakes a thousand miners is not a thousand callbacks of the loop."""

    __slots__ = ("_is_due", "_loop", "_senders")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._senders: list[Sender] = []
        self._is_due = False

    def add(self, sender: Sender) -> None:
        """Has it send soon; whoever asks sees to it that it asks once."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush_rest)
        self._senders.append(sender)
        if len(self._senders) >= PORTION:
            self._flush()

    def _flush_rest(self) -> None:
        self._is_due = False
        self._flush()

    def _flush(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            try:
                sender.flush()
            except Exception:
                log.exception("miner_error")
