"""One pass over a range of nonces for all three chains, on hashlib and plain Python."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from services.miner.chain import Chain
from services.miner.tetrapow import LANES, TetraScan, tetrapow_hash
from services.stratum.difficulty import hash_value
from services.stratum.header import sha256d

if TYPE_CHECKING:
    from collections.abc import Mapping

NONCES: Final = 1 << 32
# A target that nearly every hash meets (a test network's) must not fill the memory: the pass then ends early.
_ENOUGH_HITS: Final = 64
_TOP_WORD_SHIFT: Final = 224


@dataclass(frozen=True, slots=True)
class Hit:
    """A hash at or below its chain's target; ``hash`` in internal order."""

    chain: Chain
    nonce: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """A pass's result: how many headers were tried on every chain, and the hits, in the order of their nonces."""

    trials: int
    hits: tuple[Hit, ...]


def proof_of_work(chain: Chain, header: bytes) -> bytes:
    """The chain's hash of an 80-byte Bitcoin header: the definition, which every faster way is held against."""
    match chain:
        case Chain.BTC:
            return sha256d(header)
        case Chain.ROLLPOW:
            return sha256d(header[::-1])
        case Chain.TETRAPOW:
            return tetrapow_hash(header)


class HashlibKernel:
    """Scans the nonces of one header. ``prefix`` is the header without its nonce (76 bytes).

    ``targets`` says which hashes are wanted, inclusive; a chain that is not in it is not hashed.
    """

    def __init__(self, prefix: bytes, targets: Mapping[Chain, int]) -> None:
        if len(prefix) != 76:
            raise ValueError(f"a header without its nonce has 76 bytes, not {len(prefix)}")
        self._prefix = prefix
        self._targets = dict(targets)
        self._tetra = TetraScan(prefix) if Chain.TETRAPOW in self._targets else None

    def scan(self, first_nonce: int, count: int) -> Scan:
        """Tries ``count`` nonces from ``first_nonce`` (none at or above 2^32), or fewer where very many hit."""
        end = min(first_nonce + count, NONCES)
        hits: list[Hit] = []
        nonce = first_nonce
        while nonce < end and len(hits) < _ENOUGH_HITS:
            stop = min(nonce + LANES, end)
            hits += sorted(self._batch(nonce, stop), key=lambda hit: hit.nonce)
            nonce = stop
        return Scan(nonce - first_nonce, tuple(hits))

    def _batch(self, first: int, stop: int) -> list[Hit]:
        hits: list[Hit] = []
        if (target := self._targets.get(Chain.BTC)) is not None:
            hits += self._btc(first, stop, target)
        if (target := self._targets.get(Chain.ROLLPOW)) is not None:
            hits += self._rollpow(first, stop, target)
        if self._tetra is not None:
            hits += self._tetrapow(self._tetra, first, stop, self._targets[Chain.TETRAPOW])
        return hits

    def _btc(self, first: int, stop: int, target: int) -> list[Hit]:
        # Bytes compare like big-endian numbers, and a hash is a little-endian one.
        limit = target.to_bytes(32, "big")
        first_block, rest = sha256(self._prefix[:64]), self._prefix[64:]
        hits = []
        for nonce in range(first, stop):
            inner = first_block.copy()
            inner.update(rest + nonce.to_bytes(4, "little"))
            block_hash = sha256(inner.digest()).digest()
            if block_hash[::-1] <= limit:
                hits.append(Hit(Chain.BTC, nonce, block_hash))
        return hits

    def _rollpow(self, first: int, stop: int, target: int) -> list[Hit]:
        # The reversed header begins with the nonce, so no part of it can be hashed beforehand.
        limit = target.to_bytes(32, "big")
        rest = self._prefix[::-1]
        hits = []
        for nonce in range(first, stop):
            block_hash = sha256(sha256(nonce.to_bytes(4, "big") + rest).digest()).digest()
            if block_hash[::-1] <= limit:
                hits.append(Hit(Chain.ROLLPOW, nonce, block_hash))
        return hits

    def _tetrapow(self, scan: TetraScan, first: int, stop: int, target: int) -> list[Hit]:
        # A pass always has all its lanes; near the end of the nonces it begins earlier instead.
        base = min(first, NONCES - LANES)
        words = scan.top_words(base)[first - base : stop - base]
        limit = target >> _TOP_WORD_SHIFT
        if min(words) > limit:
            return []
        hits = []
        for nonce in (first + i for i, word in enumerate(words) if word <= limit):
            block_hash = tetrapow_hash(self._prefix + nonce.to_bytes(4, "little"))
            if hash_value(block_hash) <= target:
                hits.append(Hit(Chain.TETRAPOW, nonce, block_hash))
        return hits
