"""The three chains that one pass over the nonces is for."""

from __future__ import annotations

from enum import Enum

from services.stratum.difficulty import MAX_TARGET


class Chain(Enum):
    """A chain's name in found blocks, its name in log lines, and how many times easier than Bitcoin its blocks are."""

    BTC = ("BTC", "Bitcoin", 1)
    ROLLPOW = ("RollPoW", "RollPoW", 2)
    TETRAPOW = ("Tetra-PoW", "Tetra-PoW", 4)

    def __init__(self, label: str, title: str, ease: int) -> None:
        self.label = label
        self.title = title
        self.ease = ease

    def target(self, network_target: int) -> int:
        """A hash of this chain, read as a little-endian number, is a block when it is at most this."""
        return min(network_target * self.ease, MAX_TARGET)
