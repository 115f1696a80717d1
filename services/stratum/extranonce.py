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


def filler_size(
    pool_extranonce2_size: int, miner_extranonce1: bytes, miner_extranonce2_size: int = MINER_EXTRANONCE2_BYTES
) -> int:
    """Bytes that the pool gives beyond the miner's shape; negative where it gives too little for it."""
    return pool_extranonce2_size - len(miner_extranonce1) - miner_extranonce2_size


def divided(
    pool_extranonce1: bytes,
    filler: bytes,
    miner_extranonce1: bytes,
    miner_extranonce2_size: int = MINER_EXTRANONCE2_BYTES,
) -> ExtranonceLayout:
    """The proxy's mechanism; ``filler`` has :func:`filler_size` bytes and is unique per upstream."""
    return ExtranonceLayout(
        pool_extranonce1,
        pool_extranonce1 + filler,
        filler + miner_extranonce1,
        miner_extranonce1,
        miner_extranonce2_size,
    )


def kept(
    pool_extranonce1: bytes, pool_extranonce2_size: int, unique: int, shown: ExtranonceLayout
) -> ExtranonceLayout | None:
    """A layout on another pool that leaves what the miner was shown as it is; None where its sizes do not fit.

    ``unique`` numbers the upstream; its low bytes fill what the pool gives beyond the miner's shape.
    """
    own, size = shown.miner_extranonce1, shown.miner_extranonce2_size
    if (pool_extranonce1, pool_extranonce2_size) == (own, size):
        return handed_through(own, size)
    spare = filler_size(pool_extranonce2_size, own, size)
    return divided(pool_extranonce1, filler(unique, spare), own, size) if spare >= 0 else None


def fresh(
    pool_extranonce1: bytes, pool_extranonce2_size: int, unique: int, miner_extranonce1: bytes
) -> ExtranonceLayout:
    """The layout for a miner that was shown nothing yet: the proxy's mechanism where it fits, else handed through."""
    spare = filler_size(pool_extranonce2_size, miner_extranonce1)
    if spare < 0:
        return handed_through(pool_extranonce1, pool_extranonce2_size)
    return divided(pool_extranonce1, filler(unique, spare), miner_extranonce1)


def filler(unique: int, size: int) -> bytes:
    """The low ``size`` bytes of an upstream's number."""
    return (unique & ((1 << 8 * size) - 1)).to_bytes(size, "big")


def handed_through(pool_extranonce1: bytes, pool_extranonce2_size: int) -> ExtranonceLayout:
    """The pool's own extranonce1, for a pool that gives too little to divide."""
    return ExtranonceLayout(pool_extranonce1, b"", b"", pool_extranonce1, pool_extranonce2_size)
