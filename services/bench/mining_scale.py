"""What the miner's threads do together, against processes that share nothing but the CPU.

Two virtual processors may be the two halves of one core, or be lent out to others, too; then no program can do twice as
much on both. So the reference is the same loop as one process on each, pinned: what they do at once, against what they
do alone. All by the clock, by turns.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.miner import Chain, Effort
from services.miner.benchmark import VERSIONS, hashlib_rate, rate
from services.miner.kernel_source import KernelSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from services.miner.kernels.scan import KernelFactory

_LEAD_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Scale:
    """Medians of ratios, each of one round: two against one, and our threads against processes."""

    hashlib_processes: float
    processes: float
    threads: float
    threads_to_processes: float


def loaded() -> KernelFactory:
    """The miner's kernels, from the cache where they are in it."""
    source = KernelSource(tuple(Chain), Effort().kernel_cache)
    asyncio.run(source.improve())
    return source.current


def measured(factory: KernelFactory, rounds: int, seconds: float) -> Scale:
    """Two of everything against one of it."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("one processor tells nothing about two")
    processes = [_Pinned(core) for core in cores]
    try:
        ratios = [_round(factory, processes, seconds) for _ in range(rounds)]
    finally:
        for process in processes:
            process.end()
    return Scale(*(statistics.median(values) for values in zip(*ratios, strict=True)))


def _round(factory: KernelFactory, processes: list[_Pinned], seconds: float) -> tuple[float, float, float, float]:
    hashlib_one, hashlib_two = _one_and_two(processes, "hashlib", seconds)
    one, two = _one_and_two(processes, "BTC", seconds)
    thread = rate(factory, [Chain.BTC], VERSIONS, 1, seconds)
    threads = rate(factory, [Chain.BTC], VERSIONS, 2, seconds)
    return hashlib_two / hashlib_one, two / one, threads / thread, threads / two


def _one_and_two(processes: list[_Pinned], loop: str, seconds: float) -> tuple[float, float]:
    """Headers a second of one process, the mean of both, and of the two at once."""
    alone = [_together([process], loop, seconds) for process in processes]
    return statistics.fmean(alone), _together(processes, loop, seconds)


def _together(processes: list[_Pinned], loop: str, seconds: float) -> float:
    at = time.perf_counter() + _LEAD_SECONDS
    for process in processes:
        process.begin(loop, seconds, at)
    return sum(process.result() for process in processes)


class _Pinned:
    """A process on one processor, which runs a loop when it is told to."""

    def __init__(self, core: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_obey, args=(core, theirs), daemon=True)
        self._process.start()
        self.result()

    def begin(self, loop: str, seconds: float, at: float) -> None:
        self._connection.send((loop, seconds, at))

    def result(self) -> float:
        return float(self._connection.recv())

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def _obey(core: int, connection: Connection) -> None:
    os.sched_setaffinity(0, {core})
    factory = loaded()
    loops: dict[str, Callable[[float], float]] = {
        "hashlib": hashlib_rate,
        "BTC": lambda seconds: rate(factory, [Chain.BTC], VERSIONS, 1, seconds),
    }
    connection.send(0.0)
    while True:
        loop, seconds, at = connection.recv()
        while time.perf_counter() < at:
            pass
        connection.send(loops[loop](seconds))
