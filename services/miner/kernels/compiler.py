"""From a proof of work to a function of this process."""

from __future__ import annotations

import ctypes
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
import llvmlite.binding as llvm

from services.miner import tetrapow
from services.miner.kernels.pass_function import name_of, pass_module

if TYPE_CHECKING:
    from services.miner.kernels.cpu import Cpu
    from services.miner.kernels.object_cache import ObjectCache
    from services.miner.kernels.pass_function import Proof

_SIGNATURE = (
    ctypes.c_uint64,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_uint32,
    ctypes.c_uint32,
    ctypes.c_uint64,
    ctypes.c_uint32,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


class CompiledPass:
    """A proof's pass as a function (its parameters: :mod:`services.miner.kernels.pass_function`).

    A call lets the interpreter go on with other threads.
    """

    def __init__(self, proof: Proof, engine: Any) -> None:
        self.chain = proof.chain
        self.lanes = proof.lanes
        self.kind = type(proof).__name__
        self._engine = engine  # owns the code
        # CFUNCTYPE, unlike PYFUNCTYPE, releases the interpreter lock.
        self.call = ctypes.CFUNCTYPE(*_SIGNATURE)(engine.get_function_address(name_of(proof)))


def compiled(proof: Proof, cpu: Cpu, cache: ObjectCache) -> CompiledPass:
    """The proof's code for that CPU, from the cache or made now, which takes a second or so."""
    found = cached(proof, cpu, cache)
    if found is not None:
        return found
    machine = _machine(cpu)
    code = machine.emit_object(llvm.parse_assembly(str(pass_module(proof))))
    cache.write(_key(proof, cpu), code)
    return _loaded(proof, machine, code)


def cached(proof: Proof, cpu: Cpu, cache: ObjectCache) -> CompiledPass | None:
    """The proof's code from the cache, if it is there."""
    code = cache.read(_key(proof, cpu))
    return None if code is None else _loaded(proof, _machine(cpu), code)


def _machine(cpu: Cpu) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(cpu=cpu.name, features=cpu.feature_text(), opt=3)


def _loaded(proof: Proof, machine: Any, code: bytes) -> CompiledPass:
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return CompiledPass(proof, engine)


def _key(proof: Proof, cpu: Cpu) -> str:
    parts = (
        type(proof).__name__,
        str(proof.lanes),
        cpu.name,
        cpu.feature_text(),
        llvmlite.__version__,
        str(llvm.llvm_version_info),
        _source_digest(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _source_digest() -> str:
    """Of all that the code follows from."""
    digest = hashlib.sha256()
    for path in [*sorted(Path(__file__).parent.glob("*.py")), Path(tetrapow.__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
