"""The coinbase transaction of a synthetic block, as the two halves around the extranonce."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_SCRIPT_BYTES = 100
_SIGNATURE = b"/sharehouse demo/"
_HALVING_BLOCKS = 210_000
_FIRST_SUBSIDY_SATOSHI = 50 * 100_000_000
_SEQUENCE = b"\xff" * 4
# P2WPKH of a hash that nobody has a key for: a reward on a synthetic chain is worth nothing.
_REWARD_SCRIPT = b"\x00\x14" + b"sharehouse demo pool"
_WITNESS_COMMITMENT = b"\x6a\x24\xaa\x21\xa9\xed"


@dataclass(frozen=True, slots=True)
class CoinbaseHalves:
    """``coinbase1 + extranonce1 + extranonce2 + coinbase2`` is the transaction, without witness."""

    coinbase1: bytes
    coinbase2: bytes


def height_push(height: int) -> bytes:
    """BIP 34: the height as the shortest script push (OP_1 to OP_16, else a little-endian signed number)."""
    if not 0 < height < 2**31:
        raise ValueError(f"no block has height {height}")
    if height <= 16:
        return bytes([0x50 + height])
    number = height.to_bytes(height.bit_length() // 8 + 1, "little")  # one bit is the sign
    return bytes([len(number)]) + number


def subsidy_satoshi(height: int) -> int:
    """What a block may create, halved every 210,000 blocks."""
    return _FIRST_SUBSIDY_SATOSHI >> min(height // _HALVING_BLOCKS, 63)


def build_coinbase(
    height: int,
    tag: bytes,
    extranonce_bytes: int,
    witness_commitment: bytes | None,
    *,
    reward_satoshi: int | None = None,
) -> CoinbaseHalves:
    """A coinbase with the whole reward (by default the subsidy) to one output and a witness commitment (32 bytes), if
    there is one, in another.

    ``tag`` (8 bytes) makes it unique among all templates; ``extranonce_bytes`` is the room for both extranonces.
    """
    before = height_push(height) + bytes([len(tag)]) + tag + bytes([extranonce_bytes])
    after = bytes([len(_SIGNATURE)]) + _SIGNATURE
    script_bytes = len(before) + extranonce_bytes + len(after)
    if script_bytes > MAX_SCRIPT_BYTES:
        raise ValueError(f"a coinbase script is at most {MAX_SCRIPT_BYTES} bytes, not {script_bytes}")
    outputs = [_output(subsidy_satoshi(height) if reward_satoshi is None else reward_satoshi, _REWARD_SCRIPT)]
    if witness_commitment is not None:
        outputs.append(_output(0, _WITNESS_COMMITMENT + witness_commitment))
    head = struct.pack("<I", 2) + b"\x01" + bytes(32) + b"\xff" * 4 + bytes([script_bytes])
    return CoinbaseHalves(head + before, after + _SEQUENCE + bytes([len(outputs)]) + b"".join(outputs) + bytes(4))


def _output(satoshi: int, script: bytes) -> bytes:
    return struct.pack("<Q", satoshi) + bytes([len(script)]) + script
