"""Who has which place in one upstream's extranonce2: no two places can hold the same coinbase."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.stratum.extranonce import (
    MINER_EXTRANONCE1_BYTES,
    MINER_EXTRANONCE2_BYTES,
    ExtranonceLayout,
    filler,
    fresh,
    handed_through,
    kept,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def shared_extranonce1_size(pool_extranonce2_size: int) -> int:
    """Bytes for the extranonce1 of each of many miners on one upstream; 0 where there is only room for one miner."""
    return max(0, min(MINER_EXTRANONCE1_BYTES, pool_extranonce2_size - MINER_EXTRANONCE2_BYTES))


def shared_room(pool_extranonce2_size: int) -> int:
    """How many miners one upstream takes.

    Of two bytes, half the values stay free, so that one that was left is not given out again soon: the next holder
    would find the same shares once more.
    """
    size = shared_extranonce1_size(pool_extranonce2_size)
    return 1 << 8 * size - (size == MINER_EXTRANONCE1_BYTES)


class SoleSpace:
    """All of one upstream connection with one pool extranonce1, for one miner: there is nobody to collide with.

    ``unique`` numbers the upstream, ``pool`` is its extranonce1 and the size of its extranonce2, ``numbers`` gives
    candidates for a new miner's extranonce1. Where the pool gives too little for that, its own is handed through.
    """

    __slots__ = ("_numbers", "pool", "unique")

    def __init__(self, pool: tuple[bytes, int], unique: int, numbers: Iterator[int]) -> None:
        self.pool = pool
        self.unique = unique
        self._numbers = numbers

    def place(self) -> ExtranonceLayout | None:
        """The place for a miner that was shown nothing yet."""
        return fresh(*self.pool, self.unique, filler(next(self._numbers), MINER_EXTRANONCE1_BYTES))

    def keep(self, shown: ExtranonceLayout) -> ExtranonceLayout | None:
        """The place that leaves what the miner was shown as it is; None where sizes do not fit."""
        return kept(*self.pool, self.unique, shown)

    def leave(self, layout: ExtranonceLayout) -> None:
        """The place is nobody else's."""


class ExtranonceSpace:
    """The places of many miners on one upstream connection with one pool extranonce1.

    ``unique``, ``pool`` and ``numbers`` as for one miner; the extranonce1 of each has ``own_size`` bytes. Where that is
    0, the pool's is handed through, to one miner.
    """

    __slots__ = ("_numbers", "_own_size", "_tail", "_taken", "pool", "unique")

    def __init__(self, pool: tuple[bytes, int], unique: int, numbers: Iterator[int], own_size: int) -> None:
        self.pool = pool
        self.unique = unique
        self._numbers = numbers
        self._own_size = own_size
        self._taken: dict[int, set[bytes]] = {}
        self._tail = b""

    def place(self) -> ExtranonceLayout | None:
        """A place for a miner that was shown nothing yet; None where there is none left."""
        spare = self.pool[1] - MINER_EXTRANONCE2_BYTES - self._own_size
        if not self._own_size or spare < 0:
            return self._take(handed_through(*self.pool))
        before_own = filler(self.unique, spare)
        if any(before_own[:size] in taken for size, taken in self._taken.items() if size <= spare):
            return None  # somebody with a shape of another pool has all of it
        for _ in range(1 << 8 * self._own_size):
            own = (next(self._numbers) % (1 << 8 * self._own_size)).to_bytes(self._own_size, "big")
            if (layout := self._take(fresh(*self.pool, self.unique, own))) is not None:
                return layout
        return None

    def keep(self, shown: ExtranonceLayout) -> ExtranonceLayout | None:
        """A place that leaves what the miner was shown as it is; None where sizes do not fit or it is another's."""
        layout = kept(*self.pool, self.unique, shown)
        return None if layout is None else self._take(layout)

    def leave(self, layout: ExtranonceLayout) -> None:
        """Gives a place back."""
        prefix = layout.extranonce2_prefix
        if (taken := self._taken.get(len(prefix))) is not None:
            taken.discard(prefix)
            if not taken:
                del self._taken[len(prefix)]

    def _take(self, layout: ExtranonceLayout) -> ExtranonceLayout | None:
        prefix = layout.extranonce2_prefix
        if not self._is_free(prefix):
            return None
        self._taken.setdefault(len(prefix), set()).add(prefix)
        if layout.coinbase1_tail == self._tail:
            return replace(layout, coinbase1_tail=self._tail)  # one object for all, as nearly all have the same
        self._tail = layout.coinbase1_tail
        return layout

    def _is_free(self, prefix: bytes) -> bool:
        """Whether no place begins with ``prefix``, and ``prefix`` with no other one's."""
        return not any(
            prefix[:size] in taken if size <= len(prefix) else any(other.startswith(prefix) for other in taken)
            for size, taken in self._taken.items()
        )
