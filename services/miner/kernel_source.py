"""Where the mining threads get their kernels: from hashlib at once, from compiled code as soon as there is some."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from services.miner.kernels.object_cache import ObjectCache
from services.miner.kernels.plain import HashlibKernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.miner.chain import Chain
    from services.miner.kernels.compiled_kernel import CompiledKernels
    from services.miner.kernels.scan import KernelFactory

log = logging.getLogger(__name__)

_ROOT = Path(__file__).parents[2]
_COMPILE_SECONDS = 120.0
_WITHOUT_LLVMLITE = (
    "Mining on hashlib and plain Python, with one thread: correct, and slow. With llvmlite installed, it is fast."
)


class KernelSource:
    """``current`` makes the kernels for the next header; :meth:`improve` replaces it, once, by a faster one."""

    def __init__(self, chains: Sequence[Chain], cache_folder: Path | None) -> None:
        self.current: KernelFactory = HashlibKernels()
        # Loading takes many short calls, each of which would wait for the interpreter beside a thread on hashlib.
        self.is_loading = False
        self._chains = tuple(chains)
        self._cache_folder = cache_folder

    @property
    def is_compiled(self) -> bool:
        """Whether kernels leave the interpreter to others while they work, so that more threads do more."""
        return not isinstance(self.current, HashlibKernels)

    async def improve(self) -> None:
        """Takes compiled code from the cache, or has it made. Where that cannot be, says so, and hashlib stays."""
        try:
            found = await self._loaded(self._cache_folder)
            if found is None:
                log.info("Compiling for this CPU; mining on hashlib until that is done.")
                found = await self._compile()
        except ImportError:
            log.info(_WITHOUT_LLVMLITE)
        except Exception as error:
            log.warning("Mining on hashlib with one thread, which is slow: no code could be compiled (%s).", error)
        else:
            self.current = found
            log.info("Mining on compiled code: %s.", found.name)

    async def _compile(self) -> CompiledKernels:
        with tempfile.TemporaryDirectory(prefix="kernels-") as temporary:
            kept = self._cache_folder
            for folder in ([kept] if kept is not None else []) + [Path(temporary)]:
                await self._build(folder)
                found = await self._loaded(folder)
                if found is not None:
                    return found
        raise RuntimeError("the compiler left nothing behind")

    async def _build(self, folder: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.miner.kernels.build", str(folder)),
            *(chain.name for chain in self._chains),
            cwd=_ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the miner
        )
        try:
            async with asyncio.timeout(_COMPILE_SECONDS):
                _, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            last = errors.decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(f"the compiler ended with {process.returncode}: {''.join(last)}")

    async def _loaded(self, folder: Path | None) -> CompiledKernels | None:
        self.is_loading = True
        try:
            return await asyncio.to_thread(self._load, folder)
        finally:
            self.is_loading = False

    def _load(self, folder: Path | None) -> CompiledKernels | None:
        # It takes llvmlite, which need not be there.
        from services.miner.kernels.compiled_kernel import cached_kernels

        return cached_kernels(self._chains, ObjectCache(folder))
