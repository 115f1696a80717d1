"""How soon the miner's threads begin a new job, and what the threads cost beside their kernels."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

from services.miner import Chain
from services.miner.mining_job import MiningJob, Work
from services.miner.mining_threads import MiningThreads
from services.stratum.difficulty import bits_to_target
from services.stratum.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.miner.kernel_source import KernelSource
    from services.miner.kernels.scan import Hit

NEVER = 0x03000001
"""nbits that no hash meets."""


def synthetic_job(number: int, nbits: int = NEVER) -> MiningJob:
    """A job whose shares are its blocks."""
    job = Job(f"{number}", bytes(32), bytes(60), bytes(60), (bytes(32),) * 12, 0x20000000, nbits, number, True)
    target = bits_to_target(nbits.to_bytes(4, "big"))
    return MiningJob(job, bytes(4), 8, 2.0**100, 0x1FFFE000, target, None)  # type: ignore[arg-type]


class Stopwatch:
    """Adds up the processor time of a thread inside of compiled code."""

    def __init__(self, call: Callable[..., int]) -> None:
        self._call = call
        self.seconds = 0.0

    def __call__(self, *arguments: object) -> int:
        began = time.thread_time()
        done = self._call(*arguments)
        self.seconds += time.thread_time() - began
        return done


async def overhead(source: KernelSource, seconds: float) -> float:
    """The part of the processor time that goes elsewhere than into the kernels: threads, passes, the event loop."""
    passes = source.current.passes.values()  # type: ignore[attr-defined]
    watches: list[Stopwatch] = []
    for one in passes:
        watches.append(Stopwatch(one.call))
        one.call = watches[-1]
    threads = MiningThreads(source, _drawn, _take, chains=tuple(Chain))
    running = asyncio.create_task(threads.run())
    began = time.process_time()
    threads.mine(synthetic_job(0))
    await asyncio.sleep(seconds)
    threads.stop()
    await running
    worked = time.process_time() - began
    for one in passes:
        one.call = one.call._call
    return 1 - sum(watch.seconds for watch in watches) / worked


async def job_latency(source: KernelSource, threads_count: int, jobs: int) -> list[float]:
    """Seconds from a new job to the last thread that begins it."""
    threads = MiningThreads(source, _drawn, _take, chains=tuple(Chain), threads=threads_count)
    running = asyncio.create_task(threads.run())
    taken = []
    for number in range(jobs):
        job = synthetic_job(number)
        began = time.perf_counter()
        threads.mine(job)
        while not threads.has_begun(job):  # noqa: ASYNC110 (the threads tell nobody)
            await asyncio.sleep(0.0005)
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    threads.stop()
    await running
    return taken


def _drawn(job: MiningJob) -> Work:
    return Work.first(job, secrets.token_bytes(8))


async def _take(work: Work, hits: tuple[Hit, ...]) -> None:
    """There are none."""
