"""What a pass over the nonces of a header takes and gives, whatever does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from services.miner.chain import Chain
from services.miner.tetrapow import tetrapow_hash
from services.stratum.header import sha256d

if TYPE_CHECKING:
    from collections.abc import Mapping

NONCES: Final = 1 << 32
PREFIX_BYTES: Final = 76
"""A header without its nonce."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A hash at or below its chain's target; ``hash`` in internal order, ``version`` as in the header."""

    chain: Chain
    version: int
    nonce: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """A pass's result: how many nonces were tried, each with every version, on every chain, and the hits in order."""

    nonces: int
    hits: tuple[Hit, ...]


class Kernel(Protocol):
    """Scans the nonces of one header, on every chain it was made for."""

    versions: tuple[int, ...]
    """What each nonce is tried with."""

    def scan(self, first_nonce: int, count: int) -> Scan:
        """Tries ``count`` nonces from ``first_nonce`` (none at or above 2^32), or fewer where very many hit."""


class KernelFactory(Protocol):
    """Makes kernels for headers."""

    name: str
    """For people: what it runs on."""

    def kernel(self, prefix: bytes, targets: Mapping[Chain, int], versions: tuple[int, ...]) -> Kernel:
        """One for the header ``prefix`` (76 bytes, without its nonce) with any of these versions in place of its own.

        ``targets`` says which hashes are wanted, inclusive; a chain that is not in it is not hashed. A kernel may try
        fewer of the versions; the first is always among them. Raises ValueError for a prefix of another length.
        """


def proof_of_work(chain: Chain, header: bytes) -> bytes:
    """The chain's hash of an 80-byte Bitcoin header: the definition, which every faster way is held against."""
    match chain:
        case Chain.BTC:
            return sha256d(header)
        case Chain.ROLLPOW:
            return sha256d(header[::-1])
        case Chain.TETRAPOW:
            return tetrapow_hash(header)


def with_version(prefix: bytes, version: int) -> bytes:
    """A header without its nonce, with another version. Raises ValueError for one that has not 76 bytes."""
    if len(prefix) != PREFIX_BYTES:
        raise ValueError(f"a header without its nonce has {PREFIX_BYTES} bytes, not {len(prefix)}")
    return version.to_bytes(4, "little") + prefix[4:]
