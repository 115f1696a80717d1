"""A block of one of the three chains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """``chain`` is 'BTC', 'RollPoW' or 'Tetra-PoW'; ``hash`` 64 hex digits in display order; ``header`` 80 bytes.

    ``ts_ms`` is Unix time in milliseconds, ``height`` 0 where the coinbase names none, ``pool`` "host:port".
    """

    ts_ms: int
    chain: str
    height: int
    nonce: int
    hash: str
    header: bytes
    worker: str
    pool: str
