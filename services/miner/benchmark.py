"""How fast this machine mines: per chain and number of threads, against a loop on hashlib."""

from __future__ import annotations

import asyncio
import threading
import time
from hashlib import sha256
from typing import TYPE_CHECKING

from services.miner import wording
from services.miner.kernel_source import KernelSource
from services.miner.mining_threads import PASS_SECONDS
from services.miner.priority import available_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.miner.chain import Chain
    from services.miner.kernels.scan import KernelFactory
    from services.miner.options import Effort

SECONDS = 0.5
_PREFIX = bytes(range(76))
VERSIONS = tuple(0x20000000 | bits << 13 for bits in range(8))


def benchmark(effort: Effort, say: Callable[[str], None]) -> None:
    """Measures for some seconds, and says what came of it, line by line."""
    source = KernelSource(effort.chains, effort.kernel_cache)
    began = time.perf_counter()
    asyncio.run(source.improve())
    say(f"{source.current.name} (ready after {time.perf_counter() - began:.2f} s), {available_cpus()} processors")
    reference = hashlib_rate()
    say(f"{'a loop on hashlib, 1 thread':<52}{wording.hash_rate(reference):>12}   1.0 x")
    for chains in [*((chain,) for chain in effort.chains), *([effort.chains] if len(effort.chains) > 1 else [])]:
        for threads in sorted({1, effort.threads}):
            for versions in (VERSIONS[:1], VERSIONS) if source.is_compiled else (VERSIONS[:1],):
                measured = rate(source.current, chains, versions, threads)
                what = "+".join(chain.label for chain in chains)
                rolled = "versions rolled" if len(versions) > 1 else "one version"
                label = f"{what}, {threads} thread{'s' if threads > 1 else ''}, {rolled}"
                say(f"{label:<52}{wording.hash_rate(measured):>12}{measured / reference:6.1f} x")


def hashlib_rate(seconds: float = SECONDS) -> float:
    """Headers a second of the loop that a miner in plain Python has: sha256d of 80 bytes."""
    count = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for nonce in range(count, count + 1000):
            sha256(sha256(_PREFIX + nonce.to_bytes(4, "little")).digest()).digest()
        count += 1000
    return count / (time.perf_counter() - began)


def rate(
    factory: KernelFactory,
    chains: Sequence[Chain],
    versions: tuple[int, ...],
    threads: int = 1,
    seconds: float = SECONDS,
) -> float:
    """Headers a second, each on all these chains, in passes as short as the miner's."""
    counts = [0.0] * threads
    running = [
        threading.Thread(target=_measure, args=(factory, chains, versions, seconds, counts, index))
        for index in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts)


def _measure(
    factory: KernelFactory,
    chains: Sequence[Chain],
    versions: tuple[int, ...],
    seconds: float,
    counts: list[float],
    index: int,
) -> None:
    kernel = factory.kernel(_PREFIX, dict.fromkeys(chains, 0), versions)
    nonce, count = 0, 1024
    began = now = time.perf_counter()
    while now - began < seconds:
        done = kernel.scan(nonce, count).nonces
        before, now = now, time.perf_counter()
        nonce = (nonce + done) % (1 << 31)
        counts[index] += done * len(kernel.versions)
        count = max(1024, int(done * min(PASS_SECONDS / (now - before), 2.0)))
    counts[index] /= now - began
