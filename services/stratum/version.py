"""Version rolling (BIP 310, BIP 320)."""

from __future__ import annotations

from typing import Any

GENERAL_PURPOSE_MASK = 0x1FFFE000  # BIP 320: the 16 bits free for rolling
FULL_MASK = 0xFFFFFFFF


def rolled(version: int, mask: int, bits: int) -> int:
    """The header's version: the job's, with the bits under the mask replaced."""
    return (version & ~mask & FULL_MASK) | (bits & mask)


def parse_mask(value: Any, default: int = FULL_MASK) -> int:
    """A mask of up to 8 hex digits; ``default`` for what is no such thing (firmware leaves it out, or garbles it)."""
    if not isinstance(value, str) or not 1 <= len(value) <= 8:
        return default
    try:
        return int.from_bytes(bytes.fromhex(value.zfill(8)), "big")
    except ValueError:
        return default
