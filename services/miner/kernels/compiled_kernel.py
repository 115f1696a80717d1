"""A kernel on compiled code."""

from __future__ import annotations

import ctypes
import random
import struct
from typing import TYPE_CHECKING

from services.miner.chain import Chain
from services.miner.kernels.compiler import CompiledPass, cached, compiled
from services.miner.kernels.cpu import Cpu, proofs_for
from services.miner.kernels.pass_function import MAX_CANDIDATES, MAX_VERSIONS
from services.miner.kernels.scan import NONCES, PREFIX_BYTES, Hit, Scan, proof_of_work, with_version
from services.stratum.difficulty import hash_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from services.miner.kernels.object_cache import ObjectCache

_HEADER_WORDS = 20
_TOP_WORD_SHIFT = 224
_EVERY_WORD = 0xFFFFFFFF
_TRIED_GROUPS = 8
_TRIED_VERSIONS = (0x20000000, 0x3FFFE000)
# A hash in eight meets it.
_TRIED_LIMIT = (1 << 29) - 1


class WrongCodeError(RuntimeError):
    """The compiled code does not hash as it should."""


class CompiledKernels:
    """Makes kernels on compiled code, one function for each chain."""

    def __init__(self, passes: Mapping[Chain, CompiledPass], name: str) -> None:
        self.passes = passes
        self.name = name

    def kernel(self, prefix: bytes, targets: Mapping[Chain, int], versions: tuple[int, ...]) -> CompiledKernel:
        """See :class:`services.miner.kernels.scan.KernelFactory`."""
        return CompiledKernel(self.passes, prefix, targets, versions[:MAX_VERSIONS])


def compile_kernels(chains: Iterable[Chain], cache: ObjectCache) -> CompiledKernels:
    """The fastest for this CPU, each tried before it is trusted. Raises WrongCodeError where one fails."""
    cpu = Cpu.host()
    proofs = proofs_for(cpu)
    return _tried(cpu, {chain: compiled(proofs[chain], cpu, cache) for chain in chains})


def cached_kernels(chains: Iterable[Chain], cache: ObjectCache) -> CompiledKernels | None:
    """The same from the cache alone; None where one of them is not in it."""
    cpu = Cpu.host()
    proofs = proofs_for(cpu)
    passes = {}
    for chain in chains:
        found = cached(proofs[chain], cpu, cache)
        if found is None:
            return None
        passes[chain] = found
    return _tried(cpu, passes)


def _tried(cpu: Cpu, passes: Mapping[Chain, CompiledPass]) -> CompiledKernels:
    for chain, function in passes.items():
        _try(chain, function)
    lanes = ", ".join(f"{chain.label} {function.lanes} lanes" for chain, function in passes.items())
    return CompiledKernels(passes, f"{cpu.description}, {lanes}")


class CompiledKernel:
    """Scans the nonces of one header; see :class:`services.miner.kernels.scan.Kernel`."""

    def __init__(
        self,
        passes: Mapping[Chain, CompiledPass],
        prefix: bytes,
        targets: Mapping[Chain, int],
        versions: tuple[int, ...],
    ) -> None:
        self.versions = versions
        self._targets = dict(targets)
        self._passes = [_Pass(passes[chain], prefix, versions, target) for chain, target in targets.items()]

    def scan(self, first_nonce: int, count: int) -> Scan:
        """See :meth:`services.miner.kernels.scan.Kernel.scan`."""
        end = min(first_nonce + count, NONCES)
        candidates: list[tuple[Chain, int, bytes]] = []
        for one in self._passes:
            # A chain with very many hits ends early, and then so do the others; what they found behind it comes again.
            end = min(end, first_nonce + one.run(first_nonce, end - first_nonce))
            candidates += one.candidates()
        hits = [
            hit
            for chain, nonce, prefix in candidates
            if first_nonce <= nonce < end
            for hit in self._hit(chain, nonce, prefix)
        ]
        return Scan(end - first_nonce, tuple(sorted(hits, key=lambda hit: hit.nonce)))

    def _hit(self, chain: Chain, nonce: int, prefix: bytes) -> Iterator[Hit]:
        """The whole comparison: the compiled code saw the first 32 bits alone."""
        found = proof_of_work(chain, prefix + nonce.to_bytes(4, "little"))
        if hash_value(found) <= self._targets[chain]:
            yield Hit(chain, int.from_bytes(prefix[:4], "little"), nonce, found)


class _Pass:
    """A compiled function with all its arguments but the nonces."""

    def __init__(self, function: CompiledPass, prefix: bytes, versions: tuple[int, ...], target: int) -> None:
        self._function = function
        self._prefixes = [with_version(prefix, version) for version in versions]
        headers = [_as_hashed(function.chain, one) for one in self._prefixes]
        at = 0 if function.chain is not Chain.ROLLPOW else _HEADER_WORDS - 1
        self._header = (ctypes.c_uint32 * _HEADER_WORDS)(*headers[0])
        self._versions = (ctypes.c_uint32 * len(versions))(*(header[at] for header in headers))
        self._limit = target >> _TOP_WORD_SHIFT
        self._found = (ctypes.c_uint32 * (2 * MAX_CANDIDATES + 2))()
        self._count = ctypes.c_uint32()

    def run(self, first_nonce: int, nonces: int) -> int:
        """Tries so many nonces or a few more, or fewer where very many hit; returns how many, a few more included."""
        function = self._function
        groups = function.call(
            self._header,
            self._versions,
            len(self._versions),
            first_nonce,
            -(-nonces // function.lanes),
            self._limit,
            self._found,
            ctypes.byref(self._count),
        )
        return int(groups) * function.lanes

    def candidates(self) -> Iterator[tuple[Chain, int, bytes]]:
        """Chain, nonce, and the header without its nonce."""
        for at in range(0, 2 * self._count.value, 2):
            yield self._function.chain, self._found[at], self._prefixes[self._found[at + 1]]


def _as_hashed(chain: Chain, prefix: bytes) -> tuple[int, ...]:
    header = prefix + bytes(4)
    return struct.unpack(f">{_HEADER_WORDS}I", header[::-1] if chain is Chain.ROLLPOW else header)


def _try(chain: Chain, function: CompiledPass) -> None:
    """Holds the code against the definition: on a CPU that nobody has tried, a wrong hash would be found by no one."""
    prefix = random.Random(chain.label).randbytes(PREFIX_BYTES)  # noqa: S311 (the same header at every start)
    nonces = _TRIED_GROUPS * function.lanes
    for limit in (_EVERY_WORD, _TRIED_LIMIT):
        one = _Pass(function, prefix, _TRIED_VERSIONS, limit << _TOP_WORD_SHIFT)
        # At the end of the nonces, where a sum could run over.
        first = NONCES - nonces
        if one.run(first, nonces) != nonces or sorted(one.candidates()) != _expected(
            chain, prefix, first, nonces, limit
        ):
            raise WrongCodeError(f"the code compiled for {chain.label} does not hash as it should")


def _expected(chain: Chain, prefix: bytes, first: int, nonces: int, limit: int) -> list[tuple[Chain, int, bytes]]:
    prefixes = [with_version(prefix, version) for version in _TRIED_VERSIONS]
    return [
        (chain, nonce, one)
        for nonce in range(first, first + nonces)
        for one in sorted(prefixes)
        if hash_value(proof_of_work(chain, one + nonce.to_bytes(4, "little"))) >> _TOP_WORD_SHIFT <= limit
    ]
