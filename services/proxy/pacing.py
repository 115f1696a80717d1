"""When nothing is read from a peer for a while: for how many reasons, and how many messages a second it may send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

BURST_SECONDS: Final = 10.0
"""So many seconds' worth of messages may come at once: a miner that was cut off sends what it has found since."""


MESSAGES_A_TURN: Final = 64
"""Then the event loop's others have theirs."""


class Reading:
    """A transport's reading, held as long as there is a reason to."""

    __slots__ = ("_reasons", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._reasons: tuple[str, ...] = ()

    def is_held(self, why: str) -> bool:
        """Whether it is held for that reason."""
        return why in self._reasons

    def hold(self, why: str) -> None:
        """Reads no more; what has come stays in the kernel, and soon with the peer."""
        if not self._reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        if why not in self._reasons:
            self._reasons += (why,)

    def release(self, why: str) -> None:
        """Reads on, unless there is another reason not to."""
        if why in self._reasons:
            self._reasons = tuple(reason for reason in self._reasons if reason != why)
            if not self._reasons and not self._transport.is_closing():
                self._transport.resume_reading()


class MessageBudget:
    """So many messages a second, and ten seconds' worth at once. Times are monotonic seconds."""

    __slots__ = ("_at", "_left", "_per_second")

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._left = per_second * BURST_SECONDS
        self._at = now

    def spend(self, messages: int, now: float) -> float:
        """Takes what was sent; gives how many seconds nothing more should be taken, 0 within the budget."""
        earned = (now - self._at) * self._per_second
        self._at = now
        self._left = min(self._left + earned, self._per_second * BURST_SECONDS) - messages
        return -self._left / self._per_second if self._left < 0 else 0.0
