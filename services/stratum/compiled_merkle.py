"""The merkle root in one call of compiled code, for CPUs with Intel's SHA extensions (most x86-64 ones since 2017).

A share behind 12 merkle branches takes 28 calls of hashlib, 10 microseconds, of which nearly all is the calls; here it
is one, of less than 2. LLVM (llvmlite) makes the code at the first import, in about 0.1 s. Where there is no llvmlite
or the CPU lacks the instructions, :func:`services.stratum.header.merkle_root` does it with hashlib.

The rounds follow Intel's SHA extensions programming reference: sha256rnds2 does two rounds on a state that is held as
(A B E F) and (C D G H), sha256msg1 and sha256msg2 make the message schedule. Vectors are written lowest lane first.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
from llvmlite import ir

if TYPE_CHECKING:
    from collections.abc import Callable

_WORD = ir.IntType(32)
_LANES = ir.VectorType(_WORD, 4)
_BYTES = ir.IntType(8).as_pointer()
_COUNT = ir.IntType(64)
_ROOT = ctypes.c_char * 32
_FEATURES = ("sha", "ssse3", "sse4.1")


def _fraction(prime: int, power: int) -> int:
    """The first 32 bits of the fractional part of a prime's square or cube root (FIPS 180-4, 4.2.2 and 5.3.3)."""
    wanted = prime << 32 * power
    root = 0
    for bit in reversed(range(40)):
        if (root | 1 << bit) ** power <= wanted:
            root |= 1 << bit
    return root & 0xFFFFFFFF


_PRIMES = [number for number in range(2, 312) if all(number % divisor for divisor in range(2, number))]
_K = [_fraction(prime, 3) for prime in _PRIMES]
_H = [_fraction(prime, 2) for prime in _PRIMES[:8]]


def is_supported() -> bool:
    """Whether this CPU has the instructions."""
    features = llvm.get_host_cpu_features()
    return llvm.get_process_triple().startswith("x86_64") and all(features.get(name, False) for name in _FEATURES)


class _Sha256:
    """Writes SHA-256 into a function that is being built. A state is a pair of vectors: FEBA and HGDC."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self._builder = builder
        module = builder.module
        ternary = ir.FunctionType(_LANES, [_LANES] * 3)
        binary = ir.FunctionType(_LANES, [_LANES] * 2)
        self._rounds2 = _declared(module, ternary, "llvm.x86.sha256rnds2")
        self._schedule1 = _declared(module, binary, "llvm.x86.sha256msg1")
        self._schedule2 = _declared(module, binary, "llvm.x86.sha256msg2")
        self._swap = _declared(module, ir.FunctionType(_LANES, [_LANES]), "llvm.bswap.v4i32")
        a, b, c, d, e, f, g, h = _H
        self.start = _vector(f, e, b, a), _vector(h, g, d, c)

    def lanes(self, first: Any, second: Any, *picked: int) -> Any:
        """Four of the eight lanes of two vectors."""
        return self._builder.shuffle_vector(first, second, _vector(*picked))

    def load(self, address: Any, offset: int) -> Any:
        """Four big-endian words from ``offset`` bytes behind an address."""
        builder = self._builder
        at = builder.bitcast(builder.gep(address, [_COUNT(offset)]), _LANES.as_pointer())
        return builder.call(self._swap, [builder.load(at, align=1)])

    def store(self, words: Any, address: Any, offset: int) -> None:
        """The reverse of ``load``."""
        builder = self._builder
        at = builder.bitcast(builder.gep(address, [_COUNT(offset)]), _LANES.as_pointer())
        builder.store(builder.call(self._swap, [words]), at, align=1)

    def compress(self, state: tuple[Any, Any], message: list[Any]) -> tuple[Any, Any]:
        """The state after one more block, of 16 words."""
        builder = self._builder
        high, low = state
        words = list(message)
        for quarter in range(16):
            if quarter >= 4:
                w0, w1, w2, w3 = words
                partial = builder.add(builder.call(self._schedule1, [w0, w1]), self.lanes(w2, w3, 1, 2, 3, 4))
                words = [w1, w2, w3, builder.call(self._schedule2, [partial, w3])]
            current = words[min(quarter, 3)]
            keyed = builder.add(current, _vector(*_K[4 * quarter : 4 * quarter + 4]))
            low = builder.call(self._rounds2, [low, high, keyed])
            high = builder.call(self._rounds2, [high, low, self.lanes(keyed, keyed, 2, 3, 0, 0)])
        return builder.add(high, state[0]), builder.add(low, state[1])

    def digest(self, state: tuple[Any, Any]) -> tuple[Any, Any]:
        """A state's words in order: A B C D and E F G H."""
        high, low = state
        return self.lanes(high, low, 3, 2, 7, 6), self.lanes(high, low, 1, 0, 5, 4)

    def hash_digest(self, state: tuple[Any, Any]) -> tuple[Any, Any]:
        """SHA-256 of a digest: the second half of sha256d."""
        padding = [_vector(0x80000000, 0, 0, 0), _vector(0, 0, 0, 256)]
        return self.digest(self.compress(self.start, [*self.digest(state), *padding]))


def _vector(*values: int) -> ir.Constant:
    return ir.Constant(_LANES, list(values))


def _declared(module: ir.Module, signature: ir.FunctionType, name: str) -> ir.Function:
    return module.globals.get(name) or ir.Function(module, signature, name)


def _module() -> ir.Module:
    """``void merkle_root(padded coinbase, its 64-byte blocks, siblings, their number, the root's 32 bytes)``."""
    module = ir.Module()
    signature = ir.FunctionType(ir.VoidType(), [_BYTES, _COUNT, _BYTES, _COUNT, _BYTES])
    function = ir.Function(module, signature, "merkle_root")
    coinbase, blocks, siblings, branches, root = function.args
    entry, coinbase_loop, hashed, branch_loop, done = map(
        function.append_basic_block, ("entry", "coinbase", "hashed", "branch", "done")
    )
    builder = ir.IRBuilder(entry)
    sha = _Sha256(builder)
    builder.branch(coinbase_loop)

    builder.position_at_end(coinbase_loop)
    index = builder.phi(_COUNT)
    state = builder.phi(_LANES), builder.phi(_LANES)
    block = builder.gep(coinbase, [builder.mul(index, _COUNT(64))])
    after = sha.compress(state, [sha.load(block, offset) for offset in (0, 16, 32, 48)])
    following = builder.add(index, _COUNT(1))
    builder.cbranch(builder.icmp_unsigned("<", following, blocks), coinbase_loop, hashed)
    for phi, first, later in ((index, _COUNT(0), following), *zip(state, sha.start, after, strict=True)):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, coinbase_loop)

    builder.position_at_end(hashed)
    transaction = sha.hash_digest(after)
    builder.cbranch(builder.icmp_unsigned(">", branches, _COUNT(0)), branch_loop, done)

    builder.position_at_end(branch_loop)
    index = builder.phi(_COUNT)
    left = builder.phi(_LANES), builder.phi(_LANES)
    sibling = builder.gep(siblings, [builder.mul(index, _COUNT(32))])
    joined = sha.compress(sha.start, [*left, sha.load(sibling, 0), sha.load(sibling, 16)])
    nothing = _vector(0, 0, 0, 0)
    joined = sha.compress(joined, [_vector(0x80000000, 0, 0, 0), nothing, nothing, _vector(0, 0, 0, 512)])
    parent = sha.hash_digest(joined)
    following = builder.add(index, _COUNT(1))
    builder.cbranch(builder.icmp_unsigned("<", following, branches), branch_loop, done)
    for phi, first, later in ((index, _COUNT(0), following), *zip(left, transaction, parent, strict=True)):
        phi.add_incoming(first, hashed)
        phi.add_incoming(later, branch_loop)

    builder.position_at_end(done)
    words = builder.phi(_LANES), builder.phi(_LANES)
    for phi, without, with_branches in zip(words, transaction, parent, strict=True):
        phi.add_incoming(without, hashed)
        phi.add_incoming(with_branches, branch_loop)
    sha.store(words[0], root, 0)
    sha.store(words[1], root, 16)
    builder.ret_void()
    return module


def _compiled(module: ir.Module) -> tuple[llvm.ExecutionEngine, int]:
    """The engine, which owns the code, and the function's address."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    parsed = llvm.parse_assembly(str(module))
    features = ",".join(f"+{name}" for name in _FEATURES)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3
    )
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return engine, engine.get_function_address("merkle_root")


def compiled_merkle_root() -> Callable[[bytes, tuple[bytes, ...]], bytes]:
    """The same as :func:`services.stratum.header.merkle_root`, faster."""
    engine, address = _compiled(_module())
    # PYFUNCTYPE keeps the interpreter lock: to let it go and take it again costs more than the call.
    call = ctypes.PYFUNCTYPE(None, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, _ROOT)(address)

    def merkle_root(coinbase: bytes, branch: tuple[bytes, ...]) -> bytes:
        padded = coinbase + _padding(len(coinbase))
        root = _ROOT()
        call(padded, len(padded) // 64, _joined(branch), len(branch), root)
        return root.raw

    merkle_root.engine = engine  # type: ignore[attr-defined]  # the code lives as long as the function
    return merkle_root


@lru_cache(maxsize=64)
def _padding(size: int) -> bytes:
    """What SHA-256 puts behind a message of that many bytes."""
    return b"\x80" + bytes((55 - size) % 64) + (8 * size).to_bytes(8, "big")


@lru_cache(maxsize=64)
def _joined(branch: tuple[bytes, ...]) -> bytes:
    return b"".join(branch)
