"""The names that one pool connection was told of, and when one that the pool refused may be tried again."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final

_MAX_USERS: Final = 65_536
_MAX_DOUBLINGS: Final = 5


@dataclass(slots=True)
class _Standing:
    refusals: int = 0
    ask_at: float = math.inf


class KnownUsers:
    """A name is asked for once. A refused one may be asked for again after ``pause_seconds``, doubled each time.

    Operators add a worker at their pool after it has begun to mine, and pools refuse while their own database is away.
    """

    __slots__ = ("_loop", "_pause_seconds", "_users")

    def __init__(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._loop = asyncio.get_running_loop()
        self._users: dict[str, _Standing] = {}

    def __len__(self) -> int:
        return len(self._users)

    def ask(self, user: str) -> bool:
        """Whether the pool is to be asked now; from then on it is known to have been."""
        standing = self._users.get(user)
        if standing is None:
            if len(self._users) == _MAX_USERS:
                del self._users[next(iter(self._users))]
            self._users[user] = _Standing()
            return True
        if self._loop.time() < standing.ask_at:
            return False
        standing.ask_at = math.inf
        return True

    def accepted(self, user: str) -> None:
        """The pool knows the name."""
        if (standing := self._users.get(user)) is not None:
            standing.refusals, standing.ask_at = 0, math.inf

    def refused(self, user: str) -> None:
        """The pool does not know the name, for now."""
        if (standing := self._users.get(user)) is not None:
            pause_seconds = self._pause_seconds * 2.0 ** min(standing.refusals, _MAX_DOUBLINGS)
            standing.refusals, standing.ask_at = standing.refusals + 1, self._loop.time() + pause_seconds
