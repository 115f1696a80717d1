"""The 80-byte block header and its hash."""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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


_compiled: Callable[[bytes, tuple[bytes, ...]], bytes] | None = None


def compile_merkle_root() -> bool:
    """Has `merkle_root` done by compiled code from now on, where CPU and llvmlite allow it; tells whether.

    Takes half a second and 30 MB: for a process that does thousands of them a second.
    """
    global _compiled
    try:
        from services.stratum import compiled_merkle
    except ImportError:
        return False
    if _compiled is None and compiled_merkle.is_supported():
        _compiled = compiled_merkle.compiled_merkle_root()
    return _compiled is not None


def merkle_root(coinbase: bytes, branch: tuple[bytes, ...]) -> bytes:
    """The root that follows from a coinbase transaction (without witness) and its merkle branch."""
    return plain_merkle_root(coinbase, branch) if _compiled is None else _compiled(coinbase, branch)


def plain_merkle_root(coinbase: bytes, branch: tuple[bytes, ...]) -> bytes:
    """The same by hashlib."""
    root = sha256(sha256(coinbase).digest()).digest()
    for sibling in branch:
        root = sha256(sha256(root + sibling).digest()).digest()
    return root
