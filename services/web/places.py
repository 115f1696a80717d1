"""How many connections one server holds, and which goes when there are too many."""

from __future__ import annotations

import resource
from typing import Final, Protocol

MOST_CONNECTIONS: Final = 4096
# For what else a process opens: the database, files.
_KEPT_BACK: Final = 256


class Connected(Protocol):
    """A connection that can be told to go."""

    def cut(self) -> None: ...


class Places:
    """Holds a server's connections. One more than `most` costs that one its place which has waited longest for a
    request, or for the rest of one: whoever sends a request at once, and reads the answer, keeps its own.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: set[Connected] = set()
        self._waiting: dict[Connected, None] = {}

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, connection: Connected) -> None:
        """A new connection, which waits for its first request. Where all others are busy, it goes at once."""
        self._held.add(connection)
        self._waiting[connection] = None
        if len(self._held) > self.most:
            longest = next(iter(self._waiting))
            self.leave(longest)
            longest.cut()

    def wait(self, connection: Connected) -> None:
        """Its answer is out: from now on it waits."""
        if connection in self._held:
            self.busy(connection)
            self._waiting[connection] = None

    def busy(self, connection: Connected) -> None:
        """Its request is there."""
        self._waiting.pop(connection, None)

    def leave(self, connection: Connected) -> None:
        self._held.discard(connection)
        self._waiting.pop(connection, None)


def most_connections() -> int:
    """As many as this process' limit of open files leaves room for, and not more than MOST_CONNECTIONS."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(32, min(MOST_CONNECTIONS, files - _KEPT_BACK))
