"""Where one miner works: on which line, and with which extranonce in the space of the line's upstream."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.proxy.line import Line
    from services.proxy.miner import Miner
    from services.proxy.upstream import Upstream
    from services.stratum.extranonce import ExtranonceLayout
    from services.stratum.extranonce_space import ExtranonceSpace, SoleSpace


class Move(Enum):
    """What a move to another extranonce space means for the miner."""

    NOTHING = auto()
    NEW_EXTRANONCE = auto()
    NO_FIT = auto()
    """What the miner was shown does not fit, and it must not be changed."""
    NEW_LINE = auto()
    """There was no place left, so the miner is on another line, and works once that one is ready."""


class Place:
    """None at first; then the last one taken. A place that is left is free for others."""

    __slots__ = ("_line", "_miner", "_space", "layout")

    def __init__(self, miner: Miner) -> None:
        self.layout: ExtranonceLayout | None = None
        self._miner = miner
        self._line: Line | None = None
        self._space: ExtranonceSpace | SoleSpace | None = None

    @property
    def upstream(self) -> Upstream | None:
        """The one that is alive, or None."""
        return self._line.upstream if self._line is not None else None

    def join(self) -> Upstream | None:
        """Sees to it that there is a line; gives its upstream, where there is one yet."""
        if self._line is None:
            self._line = self._miner.pool.lines.join(self._miner)
        return self._line.upstream

    def leave(self) -> None:
        """Frees the place."""
        self._give_back()
        if self._line is not None:
            self._line.remove(self._miner)

    def take(self, upstream: Upstream) -> Move:
        """A first place, or another one."""
        space = self._space_of(upstream)
        return Move.NEW_EXTRANONCE if self._enter(space, space.place()) else self._change_line()

    def follow(self, upstream: Upstream, *, may_change: bool) -> Move:
        """Moves to the space of the upstream's current job, with the same extranonce1 if that fits."""
        space = self._space_of(upstream)
        if space is self._space:
            return Move.NOTHING
        if self.layout is not None and self._enter(space, space.keep(self.layout)):
            return Move.NOTHING
        return self.take(upstream) if may_change else Move.NO_FIT

    def is_in(self, upstream: Upstream) -> bool:
        """Whether the place is in the space of the upstream's current job."""
        return self._line is not None and self._line.space(upstream) is self._space

    def _space_of(self, upstream: Upstream) -> ExtranonceSpace | SoleSpace:
        assert self._line is not None
        return self._line.space(upstream)

    def _enter(self, space: ExtranonceSpace | SoleSpace, layout: ExtranonceLayout | None) -> bool:
        if layout is None:
            return False
        self._give_back()
        self._space, self.layout = space, layout
        return True

    def _give_back(self) -> None:
        # The layout stays known, for shares that are under way and for the next space.
        if self._space is not None and self.layout is not None:
            self._space.leave(self.layout)
        self._space = None

    def _change_line(self) -> Move:
        assert self._line is not None
        self._line = self._miner.pool.lines.move(self._miner, self._line)
        return Move.NEW_LINE
