"""How one coinbase's extranonce space is divided between a pool, the proxy and a miner.

The pool expects ``coinbase1 + extranonce1 + extranonce2 + coinbase2``. The proxy moves the pool's extranonce1, and what
the pool gives beyond the miner's shape, to the end of coinbase1, and shows the miner an extranonce1 of its own:

    coinbase1 | pool extranonce1 | filler | miner extranonce1 | miner extranonce2 | coinbase2
    \\_______ coinbase1, as the miner sees it ______/
                \\__ pool's __/ \\___________ the pool's extranonce2 ___________/

So what the miner sees stays the same when the pool behind it changes.
"""

from __future__ import annotations

from dataclasses import dataclass

MINER_EXTRANONCE1_BYTES = 2
MINER_EXTRANONCE2_BYTES = 4


@dataclass(frozen=True, slots=True)
class ExtranonceLayout:
    """One miner's place in one upstream's extranonce space; all fields but the last in bytes."""

    pool_extranonce1: bytes
    coinbase1_tail: bytes
    extranonce2_prefix: bytes
    miner_extranonce1: bytes
    miner_extranonce2_size: int

    def pool_extranonce2(self, miner_extranonce2: bytes) -> bytes:
        """The whole extranonce2 as the pool sees it."""
        return self.extranonce2_prefix + miner_extranonce2

    def full(self, miner_extranonce2: bytes) -> bytes:
        """extranonce1 and extranonce2 together, as they stand in the coinbase."""
        return self.pool_extranonce1 + self.extranonce2_prefix + miner_extranonce2


def filler_size(pool_extranonce2_size: int, miner_extranonce1: bytes) -> int:
    """Bytes that the pool gives beyond the miner's shape; negative where it gives too little for it."""
    return pool_extranonce2_size - len(miner_extranonce1) - MINER_EXTRANONCE2_BYTES


def divided(pool_extranonce1: bytes, filler: bytes, miner_extranonce1: bytes) -> ExtranonceLayout:
    """The proxy's mechanism; ``filler`` has :func:`filler_size` bytes and is unique per upstream."""
    return ExtranonceLayout(
        pool_extranonce1,
        pool_extranonce1 + filler,
        filler + miner_extranonce1,
        miner_extranonce1,
        MINER_EXTRANONCE2_BYTES,
    )


def handed_through(pool_extranonce1: bytes, pool_extranonce2_size: int) -> ExtranonceLayout:
    """The pool's own extranonce1, for a pool that gives too little to divide."""
    return ExtranonceLayout(pool_extranonce1, b"", b"", pool_extranonce1, pool_extranonce2_size)
