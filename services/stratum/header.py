"""The 80-byte block header and its hash."""

from __future__ import annotations

import struct
from hashlib import sha256

HEADER_BYTES = 80
_HEADER = struct.Struct("<I32s32sIII")


def sha256d(data: bytes) -> bytes:
    """SHA-256 twice: Bitcoin's hash, 32 bytes in internal order."""
    return sha256(sha256(data).digest()).digest()


def display(block_hash: bytes) -> str:
    """A hash as people write it: bytes reversed, hex."""
    return block_hash[::-1].hex()


def pack_header(*, version: int, prevhash: bytes, merkle_root: bytes, ntime: int, nbits: int, nonce: int) -> bytes:
    """The header's 80 bytes. Hashes in internal order, the numbers below 2^32."""
    return _HEADER.pack(version, prevhash, merkle_root, ntime, nbits, nonce)


def merkle_root(coinbase: bytes, branch: tuple[bytes, ...]) -> bytes:
    """The root that follows from a coinbase transaction (without witness) and its merkle branch."""
    root = sha256(sha256(coinbase).digest()).digest()
    for sibling in branch:
        root = sha256(sha256(root + sibling).digest()).digest()
    return root
