"""The version bits that one miner may roll (BIP 310)."""

from __future__ import annotations


class NegotiatedMask:
    """What the miner asked for, within what the pool allows now."""

    __slots__ = ("_asked", "agreed", "pool", "untold")

    def __init__(self) -> None:
        self.pool: int | None = None
        """The pool's own, None until it is known."""
        self.agreed = 0
        """The miner's bits that the pool takes; 0 where nothing was negotiated."""
        self.untold = False
        """Whether the pool changed it since the miner was told last."""
        self._asked: int | None = None

    def ask(self, wanted: int) -> int:
        """Takes the miner's wish; gives the mask, which its answer tells, or 0 where the pool allows no such bit."""
        if mask := wanted & (self.pool or 0):
            self._asked, self.agreed, self.untold = wanted, mask, False
        return mask

    def follow(self, pool_mask: int) -> None:
        """Takes the pool's mask, at first or anew."""
        self.pool = pool_mask
        if self._asked is not None and (mask := self._asked & pool_mask) != self.agreed:
            self.agreed, self.untold = mask, True
