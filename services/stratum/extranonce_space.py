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


class ExtranonceSpace:
    """The places of one upstream connection with one pool extranonce1.

    ``unique`` numbers the upstream, ``numbers`` gives candidates for new miners' extranonce1 of ``own_size`` bytes.
    Where the pool gives too little for that, or ``own_size`` is 0, its extranonce1 is handed through, to one miner.
    """

    __slots__ = ("_numbers", "_own_size", "_pool", "_tail", "_taken", "_unique")

    def __init__(
        self, pool: tuple[bytes, int], unique: int, numbers: Iterator[int], own_size: int = MINER_EXTRANONCE1_BYTES
    ) -> None:
        self._pool = pool
        self._unique = unique
        self._numbers = numbers
        self._own_size = own_size
        self._taken: dict[int, set[bytes]] = {}
        self._tail = b""

    @property
    def source(self) -> tuple[int, tuple[bytes, int]]:
        """The upstream's number and the pool's extranonce1 and extranonce2 size."""
        return self._unique, self._pool

    def place(self) -> ExtranonceLayout | None:
        """A place for a miner that was shown nothing yet; None where there is none left."""
        spare = self._pool[1] - MINER_EXTRANONCE2_BYTES - self._own_size
        if not self._own_size or spare < 0:
            return self._take(handed_through(*self._pool))
        before_own = filler(self._unique, spare)
        if any(before_own[:size] in taken for size, taken in self._taken.items() if size <= spare):
            return None  # somebody with a shape of another pool has all of it
        for _ in range(1 << 8 * self._own_size):
            own = (next(self._numbers) % (1 << 8 * self._own_size)).to_bytes(self._own_size, "big")
            if (layout := self._take(fresh(*self._pool, self._unique, own))) is not None:
                return layout
        return None

    def keep(self, shown: ExtranonceLayout) -> ExtranonceLayout | None:
        """A place that leaves what the miner was shown as it is; None where sizes do not fit or it is another's."""
        layout = kept(*self._pool, self._unique, shown)
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
