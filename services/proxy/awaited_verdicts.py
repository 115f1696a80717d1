"""The shares that went up one pool connection and have no verdict yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.proxy.upstream import Upstream
    from services.stratum.message import Response
    from services.stratum.pool_session import SubmitAnswered

    # The pool's answer and what it refuses with; both None: no verdict came.
    Verdict = Callable[[Response | None, tuple[int, str] | None], None]

_MAX_FORGOTTEN: Final = 1024


class AwaitedVerdicts:
    """By the number of the submit. Whoever waits is told once, later, whatever happens.

    A verdict that does not come within ``verdict_timeout_seconds`` is given up. The connection ends where the pool has
    owed something for ``silent_seconds`` and sent nothing that shows it works.
    """

    __slots__ = (
        "_forgotten",
        "_loop",
        "_owed_since",
        "_silence",
        "_timeout",
        "_timeout_seconds",
        "_upstream",
        "_waiting",
    )

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._timeout_seconds = upstream.pool.limits.verdict_timeout_seconds
        self._loop = asyncio.get_running_loop()
        # When each went up, and who waits. The timeout is one for all, so the order is by age.
        self._waiting: dict[int, tuple[float, Verdict]] = {}
        self._forgotten: dict[int, None] | None = None
        self._owed_since: float | None = None
        self._timeout: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, number: int, on_verdict: Verdict) -> None:
        """A share went up."""
        now = self._loop.time()
        self._waiting[number] = (now, on_verdict)
        if self._owed_since is None:
            self._owed_since = now
        if self._silence is None:
            self._silence = self._loop.call_later(self._silent_seconds, self._watch_silence)
        if self._timeout is None:
            self._timeout = self._loop.call_later(self._timeout_seconds, self._give_up_old)

    def answered(self, event: SubmitAnswered) -> None:
        """The pool's verdict came: tells who waits for it, if anybody still does."""
        self._owed_since = None
        pool = self._upstream.pool
        sent = self._waiting.pop(event.submit_id, None)
        if sent is None:
            pool.metrics.late_verdicts.inc()
            return
        since, on_verdict = sent
        now = self._loop.time()
        pool.metrics.latency.observe(now - since)
        pool.latency.answered(now - since, now)
        on_verdict(event.answer, event.error)
        self._upstream.end_if_retired()

    def works(self) -> None:
        """The pool showed in another way that it works."""
        self._owed_since = None

    def give_up(self) -> None:
        """No verdict will come any more."""
        for timer in (self._timeout, self._silence):
            if timer is not None:
                timer.cancel()
        waiting, self._waiting = self._waiting, {}
        for _, on_verdict in waiting.values():
            on_verdict(None, None)

    @property
    def _silent_seconds(self) -> float:
        return self._upstream.patience.silent_seconds

    def _give_up_old(self) -> None:
        oldest_allowed = self._loop.time() - self._timeout_seconds
        self._timeout = None
        while self._waiting:
            number = next(iter(self._waiting))
            since, on_verdict = self._waiting[number]
            if since > oldest_allowed:
                self._timeout = self._loop.call_at(since + self._timeout_seconds, self._give_up_old)
                return
            del self._waiting[number]
            self._remember(number)
            on_verdict(None, None)
        self._upstream.end_if_retired()

    def _remember(self, number: int) -> None:
        """Keeps the last few numbers known, so that late answers are counted."""
        if self._forgotten is None:
            self._forgotten = {}
        self._forgotten[number] = None
        if len(self._forgotten) > _MAX_FORGOTTEN:
            oldest = next(iter(self._forgotten))
            del self._forgotten[oldest]
            self._upstream.forget(oldest)

    def _watch_silence(self) -> None:
        self._silence = None
        if self._owed_since is None:
            return
        due = self._owed_since + self._silent_seconds
        if self._loop.time() >= due:
            self._upstream.end("the pool is silent: neither verdicts nor jobs come", conclusive=True)
        else:
            self._silence = self._loop.call_at(due, self._watch_silence)
