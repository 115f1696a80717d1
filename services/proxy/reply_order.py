"""In which order answers leave: miners reuse ids, and then tell answers apart by their order alone."""

from __future__ import annotations

from collections import deque
from typing import Final

HANDSHAKE: Final = ""
"""The key of all requests but submits: firmware waits for those answers in the order of its requests."""


class Reply:
    """A place in the order for one answer. ``id_text`` is the request's id as JSON."""

    __slots__ = ("id_text", "key", "line")

    def __init__(self, key: str, id_text: str) -> None:
        self.key = key
        self.id_text = id_text
        self.line: bytes | None = None


class ReplyOrder:
    """First asked, first answered, for each key by itself."""

    __slots__ = ("_open", "count")

    def __init__(self) -> None:
        self.count = 0
        self._open: dict[str, Reply | deque[Reply]] = {}

    def open(self, key: str, id_text: str) -> Reply:
        """Takes the next place."""
        reply = Reply(key, id_text)
        self.count += 1
        waiting = self._open.get(key)
        if waiting is None:
            self._open[key] = reply  # nearly always the only one: ids seldom repeat
        elif isinstance(waiting, deque):
            waiting.append(reply)
        else:
            self._open[key] = deque((waiting, reply))
        return reply

    def settle(self, reply: Reply, line: bytes) -> bytes:
        """Fills a place; gives what may leave now, nothing while an earlier one is empty."""
        waiting = self._open.get(reply.key)
        if waiting is reply:
            del self._open[reply.key]
            self.count -= 1
            if not self.count:
                self._open.clear()  # an emptied dict keeps the room that it once needed
            return line
        if reply.line is not None or not isinstance(waiting, deque):
            return b""  # settled already
        reply.line = line
        ready = []
        while waiting and waiting[0].line is not None:
            ready.append(waiting.popleft().line or b"")
        self.count -= len(ready)
        if not waiting:
            del self._open[reply.key]
        return b"".join(ready)
