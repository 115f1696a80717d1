"""A pool's lines to its upstreams, and which miner works on which."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.proxy.line import Line
from services.stratum.extranonce_space import shared_room

if TYPE_CHECKING:
    from services.proxy.miner import Miner
    from services.proxy.pool import Pool

_LARGEST_ROOM_SIZE = 16


class Lines:
    """One pool's. In dedicated mode each miner has a line of its own; in shared mode a line takes who fits on it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._expected_room = shared_room(_LARGEST_ROOM_SIZE)
        # Those that had room when last looked at.
        self._roomy: dict[Line, None] = {}
        self._job_since: float | None = None

    def join(self, miner: Miner) -> Line:
        """Finds or opens a line for a miner, and sets it to work there."""
        line = self._find() if self._pool.is_shared else Line(self._pool, room=1)
        line.add(miner)
        return line

    def move(self, miner: Miner, line: Line) -> Line:
        """Another line for a miner that found no place on its own."""
        line.remove(miner)
        line.fill()
        return self.join(miner)

    def left(self, line: Line) -> None:
        """A line has room again, or nobody any more."""
        if line.has_room and line.miners:
            self._roomy[line] = None
        else:
            self._roomy.pop(line, None)

    def has_room(self, line: Line, room: int) -> None:
        """A pool has told how many miners a line takes; the next lines will hardly take more."""
        self._expected_room = room
        self.left(line)

    def fanned_out(self, since: float) -> None:
        """A line's miners have the job that was read at ``since``, but for the writing.

        Of many lines in one turn, the one that waited longest is measured.
        """
        if self._job_since is None:
            # Comes after all the writes that have been asked for.
            asyncio.get_running_loop().call_soon(self._written)
            self._job_since = since

    def _written(self) -> None:
        assert self._job_since is not None
        self._pool.metrics.fanout.observe(asyncio.get_running_loop().time() - self._job_since)
        self._job_since = None

    def _find(self) -> Line:
        for line in tuple(self._roomy):
            if line.has_room:
                return line
            del self._roomy[line]
        line = Line(self._pool, room=self._expected_room)
        self._roomy[line] = None
        return line
