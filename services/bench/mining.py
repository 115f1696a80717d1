"""Headers a second of the merge miner's kernels, against a loop on hashlib, by turns in one run; and what they cost.

Rates are by the thread's processor time, so that other work on the machine hardly moves them; only what several threads
do together, and how soon they take a new job, is by the clock.
Run: python -m services.bench.mining [--rounds N] [--seconds S] [--claim-seconds S]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from hashlib import sha256
from typing import TYPE_CHECKING

from services.bench import mining_scale
from services.bench.mining_claims import claims
from services.bench.mining_latency import job_latency, overhead
from services.miner import Chain, Effort
from services.miner.benchmark import VERSIONS
from services.miner.kernel_source import KernelSource
from services.miner.mining_threads import PASS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.miner.kernels.scan import KernelFactory

_PREFIX = bytes(range(76))
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
    """Of one thread, in passes as short as the miner's."""
    kernel = factory.kernel(_PREFIX, dict.fromkeys(chains, _NEVER), VERSIONS[:versions])
    nonce, count, tried = 0, 4096, 0
    began = now = time.thread_time()
    while now - began < seconds:
        done = kernel.scan(nonce, count).nonces
        before, now = now, time.thread_time()
        nonce += done
        tried += done * len(kernel.versions)
        count = max(1024, int(done * min(PASS_SECONDS / (now - before), 2.0)))
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


def compare_threads(factory: KernelFactory, rounds: int, seconds: float) -> bool:
    """By the clock, so it counts on idle cores alone; whether threads do what the CPU lets two processes do."""
    scale = mining_scale.measured(factory, rounds, seconds)
    print(f"two against one: processes on hashlib {scale.hashlib_processes:.2f}, on the kernel {scale.processes:.2f},")
    print(f"  our threads {scale.threads:.2f} (target: 1.90 or more, where two processes do 2)")
    print(f"two threads against two processes {scale.threads_to_processes:.2f} (target: 0.95 or more)")
    return scale.threads_to_processes >= 0.95


def compare_claims(source: KernelSource, seconds: float) -> bool:
    """Whether hits agree with the headers tried, on each chain."""
    found = asyncio.run(claims(source, seconds))
    for chain, claim in found.items():
        print(
            f"hits of {chain.label:<12}{claim.hits:9d} of {claim.expected:9.0f} expected; chance of as many "
            f"{claim.chance_of_count:.3f}, of such a spread over {claim.slices} slices {claim.chance_of_spread:.3f}"
        )
    return all(claim.holds for claim in found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--claim-seconds", type=float, default=20.0)
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
    passed = compare_claims(source, arguments.claim_seconds) and passed
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
