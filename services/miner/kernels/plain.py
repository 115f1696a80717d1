"""A kernel on hashlib and plain Python: it runs everywhere, and shows what the fast ones must find."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from services.miner.chain import Chain
from services.miner.kernels.scan import NONCES, Hit, Scan, with_version
from services.miner.tetrapow import LANES, TetraScan, tetrapow_hash
from services.stratum.difficulty import hash_value

if TYPE_CHECKING:
    from collections.abc import Mapping

# A target that nearly every hash meets (a test network's) must not fill the memory: the pass then ends early.
_ENOUGH_HITS: Final = 64
_TOP_WORD_SHIFT: Final = 224


class HashlibKernels:
    """Makes kernels that try the first version alone."""

    name = "hashlib"

    def kernel(self, prefix: bytes, targets: Mapping[Chain, int], versions: tuple[int, ...]) -> HashlibKernel:
        """See :class:`services.miner.kernels.scan.KernelFactory`."""
        return HashlibKernel(with_version(prefix, versions[0]), targets)


class HashlibKernel:
    """Scans the nonces of one header; see :class:`services.miner.kernels.scan.Kernel`."""

    def __init__(self, prefix: bytes, targets: Mapping[Chain, int]) -> None:
        self.versions: tuple[int, ...] = (int.from_bytes(prefix[:4], "little"),)
        self._prefix = prefix
        self._targets = dict(targets)
        self._tetra = TetraScan(prefix) if Chain.TETRAPOW in self._targets else None

    def scan(self, first_nonce: int, count: int) -> Scan:
        """See :meth:`services.miner.kernels.scan.Kernel.scan`."""
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
                hits.append(Hit(Chain.BTC, self.versions[0], nonce, block_hash))
        return hits

    def _rollpow(self, first: int, stop: int, target: int) -> list[Hit]:
        # The reversed header begins with the nonce, so no part of it can be hashed beforehand.
        limit = target.to_bytes(32, "big")
        rest = self._prefix[::-1]
        hits = []
        for nonce in range(first, stop):
            block_hash = sha256(sha256(nonce.to_bytes(4, "big") + rest).digest()).digest()
            if block_hash[::-1] <= limit:
                hits.append(Hit(Chain.ROLLPOW, self.versions[0], nonce, block_hash))
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
                hits.append(Hit(Chain.TETRAPOW, self.versions[0], nonce, block_hash))
        return hits
