"""Headers a second of the merge miner's kernels, against a loop on hashlib, by turns in one run; and what they cost.

Rates are by the thread's processor time, so that other work on the machine hardly moves them; only what several threads
do together, and how soon they take a new job, is by the clock, the best of all rounds.
Run: python -m services.bench.mining [--rounds N] [--seconds S]
"""

from __future__ import annotations

import argparse
import asyncio
import math
import secrets
import statistics
import time
from hashlib import sha256
from typing import TYPE_CHECKING

from services.miner import Chain, Effort
from services.miner.benchmark import VERSIONS, rate
from services.miner.kernel_source import KernelSource
from services.miner.mining_job import MiningJob
from services.miner.mining_threads import MiningThreads
from services.stratum.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.miner.kernels.scan import Hit, KernelFactory
    from services.miner.mining_job import Work

_PREFIX = bytes(range(76))
_BINS = 64
_EXPECTED_HITS_PER_BIN = 25
_NEVER = 0


def hashlib_rate(seconds: float) -> float:
    """Of the loop that a miner in plain Python has."""
    count = 0
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        for nonce in range(count, count + 1000):
            sha256(sha256(_PREFIX + nonce.to_bytes(4, "little")).digest()).digest()
        count += 1000
    return count / (time.thread_time() - began)


def kernel_rate(
    factory: KernelFactory, chains: Sequence[Chain], seconds: float, versions: int = len(VERSIONS)
) -> float:
    """Of one thread, in passes of some 10 ms."""
    kernel = factory.kernel(_PREFIX, dict.fromkeys(chains, _NEVER), VERSIONS[:versions])
    nonce, count, tried = 0, 4096, 0
    began = now = time.thread_time()
    while now - began < seconds:
        done = kernel.scan(nonce, count).nonces
        before, now = now, time.thread_time()
        nonce += done
        tried += done * len(kernel.versions)
        count = max(1024, int(done * min(0.01 / (now - before), 2.0)))
    return tried / (now - began)


def compare_rates(factory: KernelFactory, rounds: int, seconds: float) -> bool:
    """Prints rates and ratios; whether they are what they are to be."""
    turns: dict[str, Callable[[], float]] = {
        "hashlib": lambda: hashlib_rate(seconds),
        "BTC, one version": lambda: kernel_rate(factory, [Chain.BTC], seconds, 1),
        **{
            chain.label: lambda chain=chain: kernel_rate(factory, [chain], seconds)  # type: ignore[misc]
            for chain in Chain
        },
        "all three": lambda: kernel_rate(factory, list(Chain), seconds),
    }
    measured: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            measured[name].append(turn())
    rates = {name: statistics.median(values) for name, values in measured.items()}
    for name, value in rates.items():
        print(f"{name:<24}{value / 1e6:8.2f} million/s   {value / rates['hashlib']:6.1f} x hashlib")
    predicted = 1 / sum(1 / rates[chain.label] for chain in Chain)
    merge = rates["all three"] / predicted
    print(f"merge against kernels   {merge:8.3f} (target: 0.90 or more)")
    best = max(rates["BTC"], rates["BTC, one version"]) / rates["hashlib"]
    print(f"BTC against hashlib     {best:8.1f} (target: 25 or more)")
    return merge >= 0.9 and best >= 25


def compare_threads(factory: KernelFactory, rounds: int, seconds: float) -> None:
    """By the clock: on a busy machine the second thread gets what the others leave."""
    alone, together = [], []
    for _ in range(rounds):
        alone.append(rate(factory, [Chain.BTC], VERSIONS, 1, seconds))
        together.append(rate(factory, [Chain.BTC], VERSIONS, 2, seconds))
    print(f"two threads against one {max(together) / max(alone):8.2f} (target on idle cores: 1.90 or more)")


def chi_square(factory: KernelFactory, chain: Chain) -> float:
    """The chance of hits that are as unevenly spread, or as far from the rate claimed, as those found."""
    probability = 2.0**-13
    tried = round(_EXPECTED_HITS_PER_BIN / probability / len(VERSIONS))
    target = round(probability * 2**256) - 1
    expected = tried * len(VERSIONS) * probability
    statistic = 0.0
    for _ in range(_BINS):
        kernel = factory.kernel(secrets.token_bytes(76), {chain: target}, VERSIONS)
        done = hits = 0
        while done < tried:
            scan = kernel.scan(done, tried - done)
            done += scan.nonces
            hits += len(scan.hits)
        statistic += (hits - expected) ** 2 / expected
    # Wilson and Hilferty: the cube root of a chi-square is nearly normal.
    deviation = ((statistic / _BINS) ** (1 / 3) - (1 - 2 / (9 * _BINS))) / math.sqrt(2 / (9 * _BINS))
    return math.erfc(deviation / math.sqrt(2)) / 2


def synthetic_job(number: int) -> MiningJob:
    """A job that no hash meets."""
    job = Job(f"{number}", bytes(32), bytes(60), bytes(60), (bytes(32),) * 12, 0x20000000, 0x03000001, number, True)
    return MiningJob(job, bytes(4), 8, 2.0**100, 0x1FFFE000, 1, None)  # type: ignore[arg-type]


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

    async def take(work: Work, hits: tuple[Hit, ...]) -> None:
        """There are none."""

    passes = source.current.passes.values()  # type: ignore[attr-defined]
    watches: list[Stopwatch] = []
    for one in passes:
        watches.append(Stopwatch(one.call))
        one.call = watches[-1]
    threads = MiningThreads(source, _drawing(), take, chains=tuple(Chain))
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

    async def take(work: Work, hits: tuple[Hit, ...]) -> None:
        """There are none."""

    threads = MiningThreads(source, _drawing(), take, chains=tuple(Chain), threads=threads_count)
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


def _drawing() -> Callable[[MiningJob], Work]:
    from services.miner.mining_job import Work

    return lambda job: Work.first(job, secrets.token_bytes(8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2)
    arguments = parser.parse_args()
    source = KernelSource(tuple(Chain), Effort().kernel_cache)
    asyncio.run(source.improve())
    print(source.current.name)
    if not source.is_compiled:
        raise SystemExit("there is no compiled code to measure")
    passed = compare_rates(source.current, arguments.rounds, arguments.seconds)
    compare_threads(source.current, arguments.rounds, arguments.seconds)
    cost = asyncio.run(overhead(source, 20 * arguments.seconds))
    print(f"cost of Python          {100 * cost:8.1f} % of the processor time (target: below 3)")
    taken = asyncio.run(job_latency(source, 2, 30))
    median, most = 1000 * statistics.median(taken), 1000 * max(taken)
    print(f"a new job to 2 threads  {median:8.1f} ms, at most {most:.1f} (target on idle cores: 50)")
    for chain in Chain:
        chance = chi_square(source.current, chain)
        print(f"chi-square, {chain.label:<12}{chance:8.3f} (above 0.0001, below 0.9999)")
        passed = passed and 0.0001 < chance < 0.9999
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
