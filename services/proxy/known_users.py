"""The names that one pool connection was told of, and when one that the pool refused may be tried again."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Final

_MAX_USERS: Final = 65_536
_MAX_DOUBLINGS: Final = 5


@dataclass(frozen=True, slots=True)
class _Refused:
    """So many times; the pool may be asked again from a time on, by the loop's clock."""

    times: int
    ask_at: float


class KnownUsers:
    """A name is asked for once. A refused one may be asked for again after ``pause_seconds``, doubled each time.

    Operators add a worker at their pool after it has begun to mine, and pools refuse while their own database is away.
    """

    __slots__ = ("_loop", "_pause_seconds", "_users")

    def __init__(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._loop = asyncio.get_running_loop()
        self._users: dict[str, _Refused | None] = {}

    def __len__(self) -> int:
        return len(self._users)

    def ask(self, user: str) -> bool:
        """Whether the pool is to be asked now; from then on it is known to have been."""
        if user not in self._users:
            if len(self._users) == _MAX_USERS:
                del self._users[next(iter(self._users))]
            self._users[user] = None
            return True
        refused = self._users[user]
        if refused is None or self._loop.time() < refused.ask_at:
            return False
        self._users[user] = replace(refused, ask_at=math.inf)
        return True

    def accepted(self, user: str) -> None:
        """The pool knows the name."""
        if user in self._users:
            self._users[user] = None

    def refused(self, user: str) -> None:
        """The pool does not know the name, for now."""
        if user in self._users:
            refused = self._users[user]
            times = 0 if refused is None else refused.times
            pause_seconds = self._pause_seconds * 2.0 ** min(times, _MAX_DOUBLINGS)
            self._users[user] = _Refused(times + 1, self._loop.time() + pause_seconds)
