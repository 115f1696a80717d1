"""Targets and difficulties.

Difficulty 1 is the target 0xFFFF * 2^208 ("bdiff", the one that Stratum pools use). A hash is read as a little-endian
256-bit integer; a share meets a difficulty when that integer is at most the difficulty's target.
"""

from __future__ import annotations

import math
from functools import lru_cache

DIFFICULTY_1_TARGET = 0xFFFF << 208
MAX_TARGET = (1 << 256) - 1
LEAST_ASKED = 2.0**-32
"""What a miner may ask for: below, every hash would do."""
GREATEST_ASKED = 2.0**64
"""And above, no machine would ever find a share: it takes 2^96 hashes, years of the whole Bitcoin network."""


def hash_value(block_hash: bytes) -> int:
    """The 256-bit number that a hash (32 bytes, internal order) stands for."""
    return int.from_bytes(block_hash, "little")


def actual_difficulty(block_hash: bytes) -> float:
    """0xFFFF * 2^208 / hash, also below 1. Internal byte order; a hash of zero counts as one."""
    return DIFFICULTY_1_TARGET / (int.from_bytes(block_hash, "little") or 1)


def target_of(difficulty: float) -> int:
    """The largest hash value that meets ``difficulty`` (finite, above 0), exact, at most 2^256 - 1."""
    if not (0 < difficulty < math.inf):
        raise ValueError(f"a difficulty is a finite number above 0, not {difficulty}")
    numerator, denominator = float(difficulty).as_integer_ratio()
    return min(DIFFICULTY_1_TARGET * denominator // numerator, MAX_TARGET)


def difficulty_of(target: int) -> float:
    """The difficulty that a target (above 0) stands for."""
    return DIFFICULTY_1_TARGET / target


def power_of_two_at_most(difficulty: float) -> float:
    """The largest power of two that is not above ``difficulty``: firmware rounds to it anyway, and misreads others."""
    mantissa, exponent = math.frexp(difficulty)
    return math.ldexp(0.5, exponent) if mantissa else 0.0


@lru_cache(maxsize=64)
def bits_to_target(bits: bytes) -> int:
    """The target of compact nbits, 4 bytes big-endian as on the wire: the first is the exponent (base 256).

    Raises ValueError for negative, zero and overflowing encodings. Source: Bitcoin's ``arith_uint256::SetCompact``.
    """
    if len(bits) != 4:
        raise ValueError(f"nbits are 4 bytes, not {len(bits)}")
    exponent, mantissa = bits[0], int.from_bytes(bits[1:], "big")
    if mantissa & 0x800000:
        raise ValueError(f"nbits {bits.hex()} encode a negative target")
    target = mantissa >> 8 * (3 - exponent) if exponent <= 3 else mantissa << 8 * (exponent - 3)
    if target == 0:
        raise ValueError(f"nbits {bits.hex()} encode a target of zero")
    if target > MAX_TARGET:
        raise ValueError(f"nbits {bits.hex()} encode a target above 2^256 - 1")
    return target


def target_to_bits(target: int) -> bytes:
    """Compact nbits (4 bytes, big-endian) of the largest encodable target that is at most ``target`` (above 0)."""
    exponent = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - exponent) if exponent <= 3 else target >> 8 * (exponent - 3)
    if mantissa & 0x800000:
        mantissa >>= 8
        exponent += 1
    return bytes([exponent]) + mantissa.to_bytes(3, "big")
